import { Refusal } from '../../core/refusal/index.ts';
import {
  BusError,
  BusLost,
  connectBus,
  type BusCall,
  type BusConnection,
  type BusSignal,
} from './bus-connection.ts';
import { unitOfObjectPath } from './bus-path.ts';
import { JobEnds } from './job-ends.ts';
import type { JobResult, Systemd, UnitStatus } from './systemd.ts';
import { listedUnit, readUnitStatus, toldResult } from './unit-status.ts';

export interface SystemdOptions {
  /**
   * systemd's own socket, which root may use. It needs no D-Bus daemon, so neither the order at
   * boot nor a restart of that daemon matters.
   */
  readonly socketPath?: string;
  /** `watch` tells of units whose names start with one of these. */
  readonly watched: readonly string[];
  /** How long systemd may take to answer a call; the job that the call makes may take longer. */
  readonly callTimeoutMs?: number;
  /** How long systemd may take to accept a connection. */
  readonly handshakeTimeoutMs?: number;
  /** How often systemd is asked whether a job still exists that is waited for. */
  readonly jobCheckMs?: number;
}

/** A connection that is made when it is first needed, and made again after it was lost. */
export interface SystemdConnection extends Systemd {
  close(): void;
}

/** Larger than a list of 4,000 units. */
const maxMessageBytes = 4 << 20;
/** As long as systemctl waits for it (systemd, bus-util.h, DAEMON_RELOAD_TIMEOUT_SEC). */
const reloadTimeoutMs = 90_000;

/**
 * systemd's manager over D-Bus. A call that meets a lost connection (systemd re-executed itself,
 * say) is made once more over a new one: everything here may be done twice.
 *
 * Errors: Refusal `activation-failed` when systemd refuses a start or a stop (no such unit, masked,
 * …), `device-unsupported` when it cannot be reached.
 */
export function connectSystemd(options: SystemdOptions): SystemdConnection {
  const { socketPath = '/run/systemd/private', watched } = options;
  const { callTimeoutMs = 25_000, handshakeTimeoutMs = 10_000, jobCheckMs = 30_000 } = options;
  const closing = new AbortController();
  const listeners = new Set<(unit: string) => void>();
  const jobs = new JobEnds();
  /** Of the services that `run` waits for: the newest result that systemd told. */
  const results = new Map<string, string | undefined>();
  let current: Promise<BusConnection> | undefined;
  let done = false;

  const tell = (unit: string) => {
    if (!watched.some((prefix) => unit.startsWith(prefix))) return;
    for (const listener of listeners) listener(unit);
  };
  const onSignal = ({ path, member, args }: BusSignal) => {
    // Not UnitNew and UnitRemoved: querying a unit that does not run loads and unloads it, which
    // emits them. A listener that queries on these signals would loop for ever.
    if (member === 'PropertiesChanged') {
      const unit = unitOfObjectPath(path) ?? '';
      if (results.has(unit)) results.set(unit, toldResult(args) ?? results.get(unit));
      tell(unit);
    }
    if (member === 'JobRemoved') jobs.ended(String(args[1]), String(args[3]));
  };

  const open = async (): Promise<BusConnection> => {
    const bus = await connectBus({
      ...{ socketPath, maxMessageBytes, callTimeoutMs, handshakeTimeoutMs, onSignal },
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
  const connection = async (): Promise<BusConnection> => {
    if (done) throw new BusLost('the connection to systemd was closed');
    current ??= open();
    try {
      return await current;
    } catch (error) {
      current = undefined;
      throw error;
    }
  };
  /** Does `work` on a connection, and once more on a new one if the connection is lost under it. */
  const withBus = async <T>(work: (bus: BusConnection) => Promise<T>): Promise<T> => {
    let bus: BusConnection | undefined;
    try {
      bus = await connection();
      return await work(bus);
    } catch (error) {
      if (!(error instanceof BusLost) || done) throw error;
    }
    // Until the old connection has closed, it is the one that the second attempt would get.
    bus?.close();
    await bus?.closed;
    try {
      return await work(await connection());
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

  const list = async (patterns: readonly string[]): Promise<readonly UnitStatus[]> => {
    const [units] = await callManager('ListUnitsByPatterns', 'asas', [], patterns);
    return Array.isArray(units) ? (units as readonly unknown[][]).map(listedUnit) : [];
  };
  const reload = async () => {
    await withBus((bus) => bus.call({ ...managerCall('Reload'), timeoutMs: reloadTimeoutMs }));
  };
  /**
   * systemd follows new links, and forgets removed ones, only after a reload. Other changes are
   * remarks, such as that a unit that is linked to does not exist.
   */
  const reloadAfter = async (changes: unknown) => {
    const kinds = (Array.isArray(changes) ? changes : []).map((change: readonly unknown[]) => change[0]);
    if (kinds.some((kind) => kind === 'symlink' || kind === 'unlink')) await reload();
  };
  /** What happened without a connection was missed: everything watched may have changed. */
  const catchUp = async () => {
    try {
      for (const { name } of await list(watched.map((prefix) => `${prefix}*`))) tell(name);
    } catch (error) {
      // The next call meets the same failure and reports it.
      if (!(error instanceof Refusal || error instanceof BusLost)) throw error;
    }
  };

  return {
    start: (unit, signal) => runJob('StartUnit', unit, signal),
    run: async (unit, signal) => {
      results.set(unit, undefined);
      try {
        const job = await runJob('StartUnit', unit, signal);
        // systemd tells what changed of a unit before it tells that its job was removed (job.c,
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
        // There is nothing to forget of a unit that is not loaded.
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
    list,
    watch: (listener) => {
      listeners.add(listener);
      void catchUp(); // makes the connection that signals come over
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

function managerCall(member: string, signature?: string, args?: readonly unknown[]): BusCall {
  return {
    path: '/org/freedesktop/systemd1',
    interface: 'org.freedesktop.systemd1.Manager',
    member,
    ...(signature === undefined ? {} : { signature, args: args ?? [] }),
  };
}
