import { type DeviceState, markOfTarget, referencedObjects } from '../deploy/index.ts';
import { type RootDocument, trustedInEra } from '../../wire/trust/index.ts';
import type { DeviceReport } from '../../wire/report/index.ts';
import { systemClock } from '../../core/ports/index.ts';
import { certificateCapability } from './broker-files.ts';
import type { Config } from './config.ts';
import type { DeviceWorld, PodWatch } from '../world/index.ts';
import { logCapability } from './answer-logs.ts';
import { encryptionCapability } from './device-key.ts';
import type { Host, Places } from '../host/index.ts';
import type { SeveralBrokers } from '../session/index.ts';
import type { Supervisor } from './supervisor.ts';
import { wherryVersion } from './version.ts';

/** The parts that a report reads. */
interface ReportParts {
  readonly places: Places;
  readonly world: DeviceWorld;
  readonly watch: PodWatch;
  readonly supervisor: Supervisor;
  readonly brokers: SeveralBrokers;
}

/** Builds the report of the device as it is now. */
export async function buildReport(
  config: Config,
  host: Host,
  state: DeviceState,
  parts: ReportParts,
  seq: number,
): Promise<DeviceReport> {
  const { places, world, watch, brokers } = parts;
  const { deployment, refused } = parts.supervisor;
  // Collected objects are missing too, but they are not damaged.
  const referenced = referencedObjects(state);
  const damaged = world.damaged.filter(({ imageId }) => referenced.has(imageId));
  return {
    format: 1,
    fleet: config.fleet,
    device: config.device,
    bootId: host.bootId,
    seq,
    at: Math.floor(systemClock.nowMs() / 1000),
    wherry: wherryVersion(),
    trustedVersion: trustedInEra(state.trusted, state.root?.era).version,
    ...(state.trusted.withdrawn === true ? { withdrawn: true as const } : {}),
    currentVersion: state.current?.version ?? 0,
    ...(state.current?.group === undefined ? {} : { group: state.current.group }),
    ...membershipOf(config, state),
    ...(state.root === undefined ? {} : { root: pickRoot(state.root.document) }),
    ...(deployment === undefined ? {} : { deployment }),
    ...(refused === undefined ? {} : { refused }),
    pods: await Promise.all(world.pods.map((pod) => watch.report(pod))),
    capabilities: [
      ...host.capabilities,
      ...encryptionCapability(places),
      ...logCapability(config.remoteLogPods),
      ...certificateCapability(config.broker, systemClock.nowMs()),
    ],
    ...(damaged.length === 0 ? {} : { damaged }),
    ...(brokers.use === undefined ? {} : { broker: brokers.use }),
  };
}

/** The groups and labels of the configuration; absent when there are none. */
function membershipOf(
  { groups, labels }: Config,
  state: DeviceState,
): Pick<DeviceReport, 'groups' | 'labels'> {
  const membership = (name: string) => {
    const mark = markOfTarget(state, name);
    const trustedVersion = trustedInEra(mark, state.root?.era).version;
    return { name, trustedVersion, ...(mark.withdrawn === true ? { withdrawn: true as const } : {}) };
  };
  const pairs = Object.entries(labels).map(([name, value]) => ({ name, value }));
  return {
    ...(groups.length === 0 ? {} : { groups: groups.map(membership) }),
    ...(pairs.length === 0 ? {} : { labels: pairs }),
  };
}

const pickRoot = ({ version, expires }: RootDocument) => ({ version, expires });
