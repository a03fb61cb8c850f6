import type { Journal } from '../../core/ports/index.ts';

export interface PodStartPorts {
  readonly journal: Journal;
  /** Starts the committed pods that do not run. Rejects with the reason of `signal`. */
  readonly startPods: (signal: AbortSignal) => Promise<void>;
  /** Schedules another `run`. */
  readonly retry: () => void;
}

/**
 * The start of the committed pods after a start of wherryd. An app may need hours for it, or never
 * start, so a newer command aborts it. It stays due until it was done once: the deployment of that
 * command, or one that a start of wherryd resumes, may end before it touches a pod.
 */
export class PodStart {
  readonly #ports: PodStartPorts;
  #isDue = true;
  #isUnderWay = false;

  constructor(ports: PodStartPorts) {
    this.#ports = ports;
  }

  get isDue(): boolean {
    return this.#isDue;
  }

  get isUnderWay(): boolean {
    return this.#isUnderWay;
  }

  /** Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    this.#isUnderWay = true;
    try {
      await this.#ports.startPods(signal);
      this.#isDue = false;
    } catch (error) {
      if (signal.aborted) return;
      this.#ports.journal.log('error', `the pods could not be started: ${String(error)}`, {
        WHERRY_CODE: 'internal',
      });
      this.#ports.retry();
    } finally {
      this.#isUnderWay = false;
    }
  }
}
