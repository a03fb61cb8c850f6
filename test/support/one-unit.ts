import type { JobResult, Systemd, UnitStatus } from '../../src/device/systemd/index.ts';

/** A systemd with short-lived services only. A started service runs `program`. */
export class OneUnit implements Systemd {
  /** The calls, for example `run wherry-pull@….service`. */
  readonly calls: string[] = [];
  /** The result of the service, as named by systemd. */
  end = 'done';
  program: (unit: string, signal?: AbortSignal) => unknown;

  constructor(program: (unit: string, signal?: AbortSignal) => unknown = () => undefined) {
    this.program = program;
  }

  async run(unit: string, signal?: AbortSignal): Promise<string> {
    this.calls.push(`run ${unit}`);
    await this.program(unit, signal);
    return this.end;
  }
  stop(unit: string): Promise<JobResult> {
    this.calls.push(`stop ${unit}`);
    return Promise.resolve('done');
  }
  resetFailed(unit: string): Promise<void> {
    this.calls.push(`reset ${unit}`);
    return Promise.resolve();
  }
  forgetRuns(): Promise<void> {
    return Promise.reject(new Error('a short-lived service has no timer'));
  }
  start(): Promise<JobResult> {
    return Promise.reject(new Error('a short-lived service is run'));
  }
  enable(): Promise<void> {
    return Promise.reject(new Error('a short-lived service has no links'));
  }
  disable(): Promise<void> {
    return Promise.reject(new Error('a short-lived service has no links'));
  }
  reload(): Promise<void> {
    return Promise.resolve();
  }
  status(name: string): Promise<UnitStatus> {
    return Promise.resolve({ name, activeState: 'inactive', subState: 'dead' });
  }
  unmet(): Promise<readonly string[]> {
    return Promise.resolve([]);
  }
  list(): Promise<readonly UnitStatus[]> {
    return Promise.resolve([]);
  }
  watch(): () => void {
    return () => undefined;
  }
}
