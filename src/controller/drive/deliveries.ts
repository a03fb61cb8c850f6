import type { DeviceView } from '../../operator/fleet/index.ts';

/**
 * How long a device that has connected may take until its report shows the command that the broker
 * kept for it.
 */
const graceMs = 5_000;

/** How long a device may take to report after its command was published again. */
const answerMs = 10_000;

/** A device to which a command was sent and that has not answered. */
export interface Silent {
  readonly device: string;
  /** Its reports do not show that it has trusted the version. */
  readonly isBehind: boolean;
}

/** The connection that a device has, as far as this process knows. */
interface Known {
  readonly connection: string;
  readonly isDown: boolean;
  sinceMs: number;
  /** Its command was published while it had this connection. */
  isServed: boolean;
  /** It may have answered while this process was not connected. */
  mayHaveAnswered: boolean;
  /** When its command was published again; cleared by its next message. */
  askedMs?: number | undefined;
}

/**
 * Finds devices that missed a command although the broker keeps it, or whose answer was missed.
 * Nodes of a RabbitMQ cluster do not share retained messages: a device that reconnects to another
 * node does not receive what was published while it was away, and a controller that reconnects does
 * not receive what was reported. A command that is published again reaches a device at any node,
 * and the device answers with its report.
 */
export class Deliveries {
  readonly #known = new Map<string, Known>();

  /** Records a message of a device. @param nowMs of a clock that never jumps, as in all methods */
  saw({ device, presence }: DeviceView, nowMs: number): void {
    const heard = this.#known.get(device);
    if (heard !== undefined) heard.askedMs = undefined;
    if (presence === undefined) return;
    const { bootId, connection: count, up } = presence;
    const connection = `${bootId} ${count} ${up ? 'up' : 'down'}`;
    const before = this.#known.get(device);
    if (before?.connection === connection) return;
    this.#known.set(device, {
      connection,
      isDown: !up,
      sinceMs: nowMs,
      isServed: false,
      mayHaveAnswered: before === undefined,
    });
  }

  /**
   * The command of a device was published. A device that has just connected may not have subscribed
   * yet.
   */
  published(device: string, nowMs: number): void {
    const known = this.#entry(device, nowMs);
    known.isServed = known.connection === unknown || nowMs - known.sinceMs >= graceMs;
    known.mayHaveAnswered = false;
  }

  /** This process has reconnected to its broker. */
  returned(nowMs: number): void {
    for (const known of this.#known.values())
      Object.assign(known, { sinceMs: nowMs, isServed: false, mayHaveAnswered: true });
  }

  /**
   * Returns the devices whose command must be published again: they are not known to be away, and
   * had time to report. Each is returned once per connection of the device and of this process.
   */
  due(silent: readonly Silent[], nowMs: number): ReadonlySet<string> {
    const due = new Set<string>();
    for (const { device, isBehind } of silent) {
      const known = this.#entry(device, nowMs);
      if (known.isDown || known.isServed || nowMs - known.sinceMs < graceMs) continue;
      if (!isBehind && !known.mayHaveAnswered) continue;
      known.isServed = true;
      known.askedMs = nowMs;
      due.add(device);
    }
    return due;
  }

  /**
   * Whether a device that `due` returned has sent nothing since: then this process may receive
   * nothing. Each result of `due` counts once.
   */
  isDeaf(nowMs: number): boolean {
    let isDeaf = false;
    for (const known of this.#known.values()) {
      if (known.askedMs === undefined || nowMs - known.askedMs < answerMs) continue;
      known.askedMs = undefined;
      isDeaf ||= !known.isDown;
    }
    return isDeaf;
  }

  #entry(device: string, nowMs: number): Known {
    let known = this.#known.get(device);
    if (known === undefined) {
      known = {
        connection: unknown,
        isDown: false,
        sinceMs: nowMs,
        isServed: false,
        mayHaveAnswered: true,
      };
      this.#known.set(device, known);
    }
    return known;
  }
}

/** No message on `live` has arrived. */
const unknown = '';
