import {
  encodeEvent,
  encodeTelemetry,
  type DeploymentEvent,
  type DeviceReport,
  type Telemetry,
} from '../../wire/report/index.ts';

/**
 * How many events wait for their acknowledgement: one per version, so this many deployments while
 * offline.
 */
const maxPendingEvents = 32;

/** The next message to publish. */
export type Outgoing =
  | { readonly kind: 'event'; readonly of: string; readonly payload: Uint8Array }
  | { readonly kind: 'report'; readonly report: DeviceReport }
  | { readonly kind: 'telemetry'; readonly payload: Uint8Array };

/** Keeps unacknowledged events beyond the end of the process. */
export interface KeptEvents {
  readonly load: () => Iterable<readonly [of: string, payload: Uint8Array]>;
  readonly save: (events: ReadonlyMap<string, Uint8Array>) => void;
}

/**
 * What a device has not published yet. Events are kept until they are acknowledged. Only the newest
 * report is kept: it is a state, not an event.
 */
export class Outbox {
  /** Encoded events by target and version. */
  readonly #events: Map<string, Uint8Array>;
  readonly #kept: KeptEvents | undefined;
  #report: DeviceReport | undefined;
  #reportIsPublished = true;
  #telemetry: Uint8Array | undefined;
  #telemetryIsPublished = true;

  constructor(kept?: KeptEvents) {
    this.#kept = kept;
    this.#events = new Map(kept?.load());
  }

  /** Only the newest telemetry is kept, too. */
  putTelemetry(telemetry: Telemetry): void {
    this.#telemetry = encodeTelemetry(telemetry);
    this.#telemetryIsPublished = false;
  }

  putReport(report: DeviceReport): void {
    this.#report = report;
    this.#reportIsPublished = false;
  }

  /**
   * A newer event for the same version replaces the one before. Beyond 32 versions the oldest is
   * dropped: the retained report still has the newest outcome.
   */
  putEvent(event: DeploymentEvent): void {
    const of = `version ${event.version}${event.group === undefined ? '' : ` for group ${event.group}`}`;
    this.#events.delete(of);
    this.#events.set(of, encodeEvent(event));
    for (const oldest of this.#events.keys()) {
      if (this.#events.size <= maxPendingEvents) break;
      this.#events.delete(oldest);
    }
    this.#kept?.save(this.#events);
  }

  /**
   * Called when a connection begins. The report is published on each, whether the broker has it or
   * not.
   */
  begin(): void {
    this.repeatReport();
    this.#telemetryIsPublished = this.#telemetry === undefined;
  }

  repeatReport(): void {
    this.#reportIsPublished = this.#report === undefined;
  }

  /** Events first, the oldest first, numbers last; undefined when there is nothing to publish. */
  next(): Outgoing | undefined {
    const [event] = this.#events;
    if (event !== undefined) return { kind: 'event', of: event[0], payload: event[1] };
    if (this.#report !== undefined && !this.#reportIsPublished)
      return { kind: 'report', report: this.#report };
    return this.#telemetry === undefined || this.#telemetryIsPublished
      ? undefined
      : { kind: 'telemetry', payload: this.#telemetry };
  }

  /**
   * Called when the newest report has been sent. A lost one is published on the next connection.
   */
  reportIsSent(): void {
    this.#reportIsPublished = true;
  }

  telemetryIsSent(): void {
    this.#telemetryIsPublished = true;
  }

  /**
   * Called when the broker has acknowledged an event. A newer one of its version may have come
   * meanwhile.
   */
  acknowledge(of: string, payload: Uint8Array): void {
    if (this.#events.get(of) !== payload) return;
    this.#events.delete(of);
    this.#kept?.save(this.#events);
  }
}
