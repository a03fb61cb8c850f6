/** How a job of systemd ended (org.freedesktop.systemd1.Manager, JobRemoved). */
export type JobResult =
  'done' | 'canceled' | 'timeout' | 'failed' | 'dependency' | 'skipped' | 'invalid' | 'unsupported';

/** The properties of a unit that wherry reads. */
export interface UnitStatus {
  readonly name: string;
  readonly activeState: string;
  readonly subState: string;
  /** Whether a job that starts it waits or runs, as during a restart between stop and start. */
  readonly isToStart?: true;
  /**
   * Services only: why the last run ended (`success`, `exit-code`, `signal`, `oom-kill`, `timeout`,
   * …).
   */
  readonly result?: string;
  readonly restarts?: number;
  readonly mainPid?: number;
  readonly execMainStatus?: number;
  /** Path below /sys/fs/cgroup, with a leading slash; empty when the unit has none. */
  readonly controlGroup?: string;
}

/** The part of systemd's manager that wherry uses. */
export interface Systemd {
  /**
   * Starts a unit, waits for its job, and returns the result of the job. An abort of `signal` ends
   * the wait; the job is enqueued in any case.
   */
  start(unit: string, signal?: AbortSignal): Promise<JobResult>;
  /**
   * Starts a service that ends by itself (Type=oneshot) and waits for its end. Returns `done` or
   * systemd's word for the failure: the result of the service (`signal`, `oom-kill`, `exit-code`,
   * …) or, if it has none, of the job; `credentials` when one of the service cannot be decrypted.
   * `status` cannot be used for a service that systemd unloads as soon as it has failed
   * (CollectMode=).
   */
  run(unit: string, signal?: AbortSignal): Promise<string>;
  stop(unit: string, signal?: AbortSignal): Promise<JobResult>;
  /**
   * Clears the `failed` state of a unit, so that it can be started and collected again; no error
   * when it is not loaded.
   */
  resetFailed(unit: string): Promise<void>;
  /**
   * Removes the time stamp of the last run that a stopped timer keeps on the disk; no error when
   * there is none.
   */
  forgetRuns(timer: string): Promise<void>;
  /**
   * Links units by their [Install] section, as `systemctl enable` does; a unit without that section
   * is left alone.
   */
  enable(units: readonly string[]): Promise<void>;
  /** Removes every link to these units, as `systemctl disable` does; their files may be gone. */
  disable(units: readonly string[]): Promise<void>;
  /** Makes systemd read unit files again. */
  reload(): Promise<void>;
  /** Reads a unit, without loading it. */
  status(unit: string): Promise<UnitStatus>;
  /** Names of the units without which `unit` does not start, and that are not active. */
  unmet(unit: string): Promise<readonly string[]>;
  /** Names of loaded units that match one of the shell patterns, with their states. */
  list(patterns: readonly string[]): Promise<readonly UnitStatus[]>;
  /**
   * Calls `listener` when a unit's state may have changed, with the result of a service if systemd
   * told it; the returned function ends that.
   */
  watch(listener: (unit: string, result?: string) => void): () => void;
}
