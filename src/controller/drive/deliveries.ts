import type { DeviceView } from '../../operator/fleet/index.ts';

/**
 * How long a device that has connected may take until its report shows the command that the broker
 * kept for it.
 */
const graceMs = 5_000;

/** How long a device that was asked may take to answer with its report. */
const answerMs = 10_000;

/** A device that got a command and has not answered. */
export interface Silent {
  readonly device: string;
  /** It has not trusted the version either, as far as its reports came. */
  readonly isBehind: boolean;
}

/** The connection that a device has, as far as this process knows. */
interface Known {
  readonly connection: string;
  readonly isDown: boolean;
  sinceMs: number;
  /** Its command was published while it had this connection. */
  isServed: boolean;
  /** Its answer may have been given while this process was not there to hear it. */
  mayHaveAnswered: boolean;
  /** When its command was published again, and nothing was heard of it since. */
  askedMs?: number | undefined;
}

/**
 * Finds devices that missed a command although the broker keeps it, or whose answer was missed.
 * Nodes of a RabbitMQ cluster keep retained messages for themselves: a device that comes back at
 * another node does not get what was published while it was away, and a controller that comes back
 * does not get what was reported. What is published again reaches a device at any node, and it
 * answers with its report.
 */
export class Deliveries {
  readonly #known = new Map<string, Known>();

  /** A device said something. @param nowMs of a clock that never jumps, as in all methods */
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

  /** The command of a device was published. It may not have subscribed yet if it has just come. */
  published(device: string, nowMs: number): void {
    const known = this.#entry(device, nowMs);
    known.isServed = known.connection === unknown || nowMs - known.sinceMs >= graceMs;
    known.mayHaveAnswered = false;
  }

  /** This process lost its broker and has it again. */
  returned(nowMs: number): void {
    for (const known of this.#known.values())
      Object.assign(known, { sinceMs: nowMs, isServed: false, mayHaveAnswered: true });
  }

  /**
   * Names the devices whose command is to be published again: they are not known to be away, and
   * had time to report. Each is named once for each of its connections and of ours.
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
   * Whether a device that was named by `due` has said nothing at all since: then this process may
   * be deaf. Each naming counts once.
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

/** Nothing on `live` has come. */
const unknown = '';
