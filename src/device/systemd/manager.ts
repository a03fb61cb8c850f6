import { Refusal } from '../../core/refusal/index.ts';
import { BusError, BusLost, connectBus, type BusConnection, type BusSignal } from './bus-connection.ts';
import { unitOfObjectPath } from './bus-path.ts';
import { JobEnds } from './job-ends.ts';
import type { JobResult, Systemd, UnitStatus } from './systemd.ts';
import {
  lacksCredentials,
  listUnits,
  managerCall,
  readUnitStatus,
  toldResult,
  unmetUnits,
} from './unit-status.ts';

export interface SystemdOptions {
  /**
   * systemd's own socket, which root may use. It needs no D-Bus daemon, so neither the order at
   * boot nor a restart of that daemon matters.
   */
  readonly socketPath?: string;
  /** `watch` reports units whose names start with one of these. */
  readonly watched: readonly string[];
  /** How long systemd may take to answer a call; the job that the call creates may take longer. */
  readonly callTimeoutMs?: number;
  /** How long systemd may take to accept a connection; a second attempt waits as for a call. */
  readonly handshakeTimeoutMs?: number;
  /** How often systemd is queried whether an awaited job still exists. */
  readonly jobCheckMs?: number;
}

/** A connection that is opened when it is first needed, and reopened after it was lost. */
export interface SystemdConnection extends Systemd {
  close(): void;
}

/** Larger than a list of 4,000 units. */
const maxMessageBytes = 4 << 20;
/** As long as systemctl waits for it (systemd, bus-util.h, DAEMON_RELOAD_TIMEOUT_SEC). */
const reloadTimeoutMs = 90_000;

/**
 * systemd's manager over D-Bus. A call whose connection is lost (for example because systemd
 * re-executed itself) is repeated once over a new one: every call here may be made twice.
 *
 * Errors: Refusal `activation-failed` when systemd refuses a start or a stop (no such unit, masked,
 * …), `device-unsupported` when it cannot be reached.
 */
export function connectSystemd(options: SystemdOptions): SystemdConnection {
  const { socketPath = '/run/systemd/private', watched } = options;
  const { callTimeoutMs = 25_000, handshakeTimeoutMs = 10_000, jobCheckMs = 30_000 } = options;
  const closing = new AbortController();
  const listeners = new Set<(unit: string, result?: string) => void>();
  const jobs = new JobEnds();
  /** For each service that `run` waits for, the newest result that systemd reported. */
  const results = new Map<string, string | undefined>();
  let current: Promise<BusConnection> | undefined;
  let done = false;

  const tell = (unit: string, result: string | undefined) => {
    if (!watched.some((prefix) => unit.startsWith(prefix))) return;
    for (const listener of listeners) listener(unit, result);
  };
  const onSignal = ({ path, member, args }: BusSignal) => {
    // UnitNew and UnitRemoved tell nothing about a state: any query may load and unload a unit.
    if (member === 'PropertiesChanged') {
      const unit = unitOfObjectPath(path) ?? '';
      const result = toldResult(args);
      if (results.has(unit))
        results.set(unit, lacksCredentials(args) ? 'credentials' : (result ?? results.get(unit)));
      tell(unit, result);
    }
    if (member === 'JobRemoved') jobs.ended(String(args[1]), String(args[3]));
  };

  const open = async (withinMs: number): Promise<BusConnection> => {
    const bus = await connectBus({
      ...{ socketPath, maxMessageBytes, callTimeoutMs, handshakeTimeoutMs: withinMs, onSignal },
      signal: closing.signal,
    });
    void bus.closed.then(() => {
      current = undefined;
      jobs.lost(new BusLost('systemd closed the connection before the job ended'));
      if (!done && listeners.size > 0) void catchUp();
    });
    await bus.call(managerCall('Subscribe'));
    return bus;
  };
  const connection = async (withinMs = handshakeTimeoutMs): Promise<BusConnection> => {
    if (done) throw new BusLost('the connection to systemd was closed');
    current ??= open(withinMs);
    try {
      return await current;
    } catch (error) {
      current = undefined;
      throw error;
    }
  };
  /**
   * Calls `work` with a connection, and again with a new one if the connection is lost meanwhile.
   */
  const withBus = async <T>(work: (bus: BusConnection) => Promise<T>): Promise<T> => {
    let bus: BusConnection | undefined;
    try {
      bus = await connection();
      return await work(bus);
    } catch (error) {
      if (!(error instanceof BusLost) || done) throw error;
    }
    // The second attempt would get the old connection until that has closed.
    bus?.close();
    await bus?.closed;
    try {
      // An answer that was lost is made up for soon, and a busy systemd has more time: while it
      // reloads, on a slow device for more than 10 s, it answers nobody.
      return await work(await connection(callTimeoutMs));
    } catch (cause) {
      if (!(cause instanceof BusLost)) throw cause;
      throw new Refusal('device-unsupported', `systemd cannot be reached: ${cause.message}`, { cause });
    }
  };
  const callManager = (member: string, signature?: string, ...args: readonly unknown[]) =>
    withBus((bus) => bus.call(managerCall(member, signature, args)));

  const runJob = (member: 'StartUnit' | 'StopUnit', unit: string, signal?: AbortSignal): Promise<JobResult> =>
    withBus((bus) => {
      const enqueue = async () => String((await bus.call(managerCall(member, 'ss', [unit, 'replace'])))[0]);
      return jobs.of(enqueue, { everyMs: jobCheckMs, exists: (job) => jobExists(bus, job) }, signal);
    }).catch((cause: unknown) => {
      if (!(cause instanceof BusError)) throw cause;
      throw new Refusal('activation-failed', `systemd refuses ${member} of ${unit}: ${cause.message}`, {
        cause,
      });
    });

  const list = (patterns: readonly string[]): Promise<readonly UnitStatus[]> =>
    withBus((bus) => listUnits(bus, patterns));
  const reload = async () => {
    await withBus((bus) => bus.call({ ...managerCall('Reload'), timeoutMs: reloadTimeoutMs }));
  };
  /**
   * systemd notices new and removed links only after a reload. Other kinds of changes are remarks,
   * for example that the target of a link does not exist.
   */
  const reloadAfter = async (changes: unknown) => {
    const kinds = (Array.isArray(changes) ? changes : []).map((change: readonly unknown[]) => change[0]);
    if (kinds.some((kind) => kind === 'symlink' || kind === 'unlink')) await reload();
  };
  /** Signals were missed without a connection: every watched unit may have changed. */
  const catchUp = async () => {
    try {
      for (const { name } of await list(watched.map((prefix) => `${prefix}*`))) {
        tell(name, (await withBus((bus) => readUnitStatus(bus, name))).result);
      }
    } catch (error) {
      // The next call has the same failure and reports it.
      if (!(error instanceof Refusal || error instanceof BusLost)) throw error;
    }
  };

  return {
    start: (unit, signal) => runJob('StartUnit', unit, signal),
    run: async (unit, signal) => {
      signal?.throwIfAborted();
      results.set(unit, undefined);
      try {
        const job = await runJob('StartUnit', unit, signal);
        // systemd sends the changes of a unit before it sends that its job was removed (job.c,
        // bus_job_send_removed_signal).
        const result = results.get(unit) ?? 'success';
        return result === 'success' ? job : result;
      } finally {
        results.delete(unit);
      }
    },
    stop: (unit, signal) => runJob('StopUnit', unit, signal),
    resetFailed: async (unit) => {
      await callManager('ResetFailedUnit', 's', unit).catch((error: unknown) => {
        // A unit that is not loaded has nothing to reset.
        if (!(error instanceof BusError) || !error.name.endsWith('.NoSuchUnit')) throw error;
      });
    },
    forgetRuns: async (timer) => {
      await callManager('CleanUnit', 'sas', timer, ['state']).catch((error: unknown) => {
        // It is not loaded, or it is not Persistent=.
        if (!(error instanceof BusError)) throw error;
      });
    },
    enable: async (units) => {
      const [, changes] = await callManager('EnableUnitFiles', 'asbb', units, false, true);
      await reloadAfter(changes);
    },
    disable: async (units) => {
      const [changes] = await callManager('DisableUnitFiles', 'asb', units, false);
      await reloadAfter(changes);
    },
    reload,
    status: (unit) => withBus((bus) => readUnitStatus(bus, unit)),
    unmet: (unit) => withBus((bus) => unmetUnits(bus, unit)),
    list,
    watch: (listener) => {
      listeners.add(listener);
      void catchUp(); // opens the connection over which signals come
      return () => void listeners.delete(listener);
    },
    close: () => {
      done = true;
      closing.abort();
      current?.then(
        (bus) => bus.close(),
        () => undefined, // there is none
      );
    },
  };
}

/** Whether systemd still has the job with this object path. */
async function jobExists(bus: BusConnection, job: string): Promise<boolean> {
  const id = Number(job.slice(job.lastIndexOf('/') + 1));
  try {
    await bus.call(managerCall('GetJob', 'u', [id]));
    return true;
  } catch (error) {
    if (error instanceof BusError && error.name.endsWith('.NoSuchJob')) return false;
    throw error;
  }
}
