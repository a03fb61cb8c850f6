import { join } from 'node:path';
import { systemClock, type Journal } from '../../core/ports/index.ts';
import type { CapabilityReport } from '../../wire/report/index.ts';
import type { DeviceTime } from '../../wire/trust/index.ts';
import type { StateKeeper } from '../deploy/index.ts';
import type { Places } from '../host/index.ts';
import { examineLogsInUnit } from '../jobs/examine/index.ts';
import type { DeviceSession } from '../session/index.ts';
import { rememberRequest } from './asked-before.ts';
import type { Config } from './config.ts';
import { LogRequests } from './log-requests.ts';
import { readJournal } from './log-source.ts';
import type { RootUpdates } from './root-updates.ts';
import type { DeviceTrust } from './trust-files.ts';

interface LogParts {
  readonly config: Config;
  readonly bootId: string;
  readonly places: Places;
  readonly journal: Journal;
  readonly session: DeviceSession;
  readonly keeper: StateKeeper;
  readonly trust: DeviceTrust;
  readonly roots: RootUpdates;
  readonly now: () => Promise<DeviceTime>;
  /** Runs one examination after the other. */
  readonly examining: <T>(work: () => Promise<T>) => Promise<T>;
  readonly unit: Omit<Parameters<typeof examineLogsInUnit>[2], 'run'>;
}

/** Makes the part that answers requests for logs, and subscribes it to them. */
export function answerLogs(parts: LogParts): LogRequests {
  const { config, bootId, places, journal, session, keeper, trust, roots, now, examining, unit } = parts;
  const requests = new LogRequests({
    clock: systemClock,
    journal,
    pods: config.remoteLogPods,
    open: readJournal,
    publish: (payload) => session.publishLog(payload),
    remember: async (id, { expires }) => {
      const { nowSeconds } = await now();
      return await rememberRequest(join(places.run, 'log-requests'), { id, expires, nowSeconds });
    },
    examine: async (message, signal) => {
      await roots.settled(signal);
      return await examining(async () => {
        const time = await now();
        const rootExpires = keeper.state.root?.document.expires;
        return await examineLogsInUnit(
          message,
          {
            ...trust.deploy(),
            copies: trust.copies(),
            ...{ fleet: config.fleet, device: config.device, boot: bootId, time },
            ...(rootExpires === undefined ? {} : { rootExpires }),
          },
          { ...unit, run: places.run },
          signal,
        );
      });
    },
  });
  session.onAsk((message) => requests.receive(message));
  return requests;
}

/** The capability for the report; none where no request is accepted. */
export function logCapability(pods: readonly string[]): readonly CapabilityReport[] {
  if (pods.length === 0) return [];
  const detail = pods.includes('*') ? 'all pods' : `pods: ${pods.join(', ')}`;
  return [{ name: 'log-requests', available: true, detail }];
}
