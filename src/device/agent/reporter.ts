import type { Clock } from '../../core/ports/index.ts';
import type { DeviceReport } from '../../wire/report/index.ts';
import { isNews } from './news.ts';
import { Rounds } from './rounds.ts';

/**
 * Reports are at least this far apart, so that a storm of changes costs a bounded number of
 * messages.
 */
const minIntervalMs = 1000;

/**
 * Publishes reports after changes: the first at once, then at most one a second, and always one
 * after the last change.
 */
export class Reporter {
  private readonly clock: Clock;
  private readonly build: () => Promise<DeviceReport>;
  private readonly publish: (report: DeviceReport) => void;
  private readonly onError: (error: unknown) => void;
  private wanted: 'no' | 'if-news' | 'yes' = 'no';
  private last: DeviceReport | undefined;
  private readonly rounds = new Rounds(() =>
    this.work().catch((error: unknown) => {
      if (!this.over.signal.aborted) this.onError(error);
    }),
  );
  private readonly over = new AbortController();
  private lastMs = Number.NEGATIVE_INFINITY;

  constructor(
    clock: Clock,
    build: () => Promise<DeviceReport>,
    publish: (report: DeviceReport) => void,
    onError: (error: unknown) => void,
  ) {
    this.clock = clock;
    this.build = build;
    this.publish = publish;
    this.onError = onError;
  }

  /** Requests a report. */
  request(): void {
    this.wanted = 'yes';
    this.rounds.begin();
  }

  /** Requests a report if it differs enough from the last one. */
  look(): void {
    if (this.wanted === 'no') this.wanted = 'if-news';
    this.rounds.begin();
  }

  /** Ends the wait for the next report. None is published afterwards. */
  close(): void {
    this.over.abort();
  }

  private async work(): Promise<void> {
    while (this.wanted !== 'no') {
      const waitMs = this.lastMs + minIntervalMs - this.clock.monotonicMs();
      if (waitMs > 0) await this.clock.sleep(waitMs, this.over.signal);
      this.over.signal.throwIfAborted();
      const mustSpeak = this.wanted === 'yes';
      this.wanted = 'no';
      const report = await this.build();
      if (!mustSpeak && this.last !== undefined && !isNews(this.last, report)) continue;
      this.last = report;
      this.publish(report);
      this.lastMs = this.clock.monotonicMs();
    }
  }
}
