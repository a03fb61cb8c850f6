import { mkdir } from 'node:fs/promises';
import {
  isUntried,
  markOfTarget,
  newestIssued,
  type StateKeeper,
  type TrustedRoot,
} from '../deploy/index.ts';
import { type Journal, systemClock, systemRandom } from '../../core/ports/index.ts';
import { DeviceSession } from '../session/index.ts';
import { imageStore, nodeDisk, programVerity, stateSlots } from '../store/index.ts';
import { connectSystemd, openNotifier } from '../systemd/index.ts';
import { type DeviceTime, deviceTime, timeFloor, trustedInEra } from '../../wire/trust/index.ts';
import { openBrokers } from './broker-addresses.ts';
import { parseConfig } from './config.ts';
import { buildReport } from './device-report.ts';
import {
  askProbe,
  DeviceWorld,
  metadataKey,
  PodFiles,
  PodWatch,
  ProbeWatch,
  readNetworkFacts,
} from '../world/index.ts';
import { examineInUnit, examineRootInUnit } from '../jobs/examine/index.ts';
import { admitGroup } from './api-socket.ts';
import { inTurn } from './in-turn.ts';
import { keepRecord } from './local-record.ts';
import { lookAtApps, lookAtDevice } from './look-at-numbers.ts';
import type { Readings } from './readings.ts';
import { sendTelemetry } from './telemetry-schedule.ts';
import type { Telemetry } from '../../wire/report/index.ts';
import { holdOf } from './hold.ts';
import {
  lookAtHost,
  readCgroupFile,
  readPodAddresses,
  readSmallFile,
  type Places,
  pullUser,
} from '../host/index.ts';
import { checkMessage } from './message-policy.ts';
import { pullImage } from '../jobs/pull/index.ts';
import { sealInUnit } from '../jobs/seal/index.ts';
import { renderInUnit } from '../jobs/render/index.ts';
import { Reporter } from './reporter.ts';
import { rootFiles } from './root-files.ts';
import { RootUpdates } from './root-updates.ts';
import { requireSecret } from './require-secret.ts';
import { runBySchedule } from './schedule.ts';
import { openState } from './state-file.ts';
import { Supervisor } from './supervisor.ts';
import { deviceTrust, trustFiles } from './trust-files.ts';
import { accountOf } from './unit-account.ts';
import { endOfVisit } from './visit.ts';
import { readyToVisit } from './wake-timer.ts';
import { wherryVersion } from './version.ts';

export interface DaemonOptions {
  readonly journal: Journal;
  readonly places: Places;
  readonly configText: string;
  /** Seconds since 1970 at which this program was built. */
  readonly buildTime: number;
  /** Calls back when the administrator asks for garbage collection (`wherry gc` sends SIGUSR2). */
  readonly onCollect: (listener: () => void) => void;
  /** Called when the start or a deployment has ended: nothing of it is needed any more. */
  readonly onRest: () => void;
  /** Whether something keeps or sets this device's clock, so that it can be believed. */
  readonly clockIsKept: () => boolean;
  readonly signal: AbortSignal;
}

/**
 * How long a stop waits for calls to systemd that are under way; the unit's TimeoutStopSec is
 * longer.
 */
const stopWithinMs = 8_000;
/** Of one image, and of all that one tree is rendered of. */
const maxEntries = 100_000;
/** Header, PAX header and its usual records. */
const maxHeaderBytes = 2048;

/**
 * wherryd: puts the parts together, runs until `signal` is aborted or a visit to the broker is
 * over, and leaves the pods running.
 */
export async function runDaemon(options: DaemonOptions): Promise<'stopped' | 'visited'> {
  const { journal, places, signal } = options;
  const config = parseConfig(options.configText);
  const disk = nodeDisk();
  const notifier = openNotifier(journal);
  const systemd = connectSystemd({ watched: ['wherry-pod-'] });
  for (const place of [places.images, places.partial, places.pods, places.metadata, places.run]) {
    await mkdir(place, { recursive: true, mode: 0o755 });
  }
  const verity = programVerity();
  const unsealable = await verity.lack(places.images);
  const host = lookAtHost(places.run, unsealable);
  const store = imageStore(disk, places.images, { verity, seals: unsealable === undefined });
  const keeper = await openState(stateSlots(disk, places.state));
  const owner = await accountOf(pullUser);
  const stores = { local: places.trust, system: places.systemTrust };
  const trust = deviceTrust(trustFiles(stores), () => keeper.state.root?.document);

  const now = (): DeviceTime => {
    const floor = timeFloor({
      buildTime: options.buildTime,
      newestIssued: newestIssued(keeper.state),
      savedTime: 0,
    });
    return deviceTime(Math.floor(systemClock.nowMs() / 1000), options.clockIsKept(), floor);
  };
  /**
   * Values of the message that is examined, or was examined last: its deployment is not saved yet.
   */
  const sealed = new Set<string>();
  let hasBroker = false;
  const readAddresses = (network: string, uuid: string) => readPodAddresses(places.run, network, uuid);
  const asking = { systemd, readAddresses, readFile: readSmallFile };
  const probes = new ProbeWatch({
    ...{ systemd, clock: systemClock, journal },
    ask: (probe, pod) => askProbe(probe, pod, asking),
  });
  const watch = new PodWatch({ systemd, readCgroupFile, readAddresses, probes });
  const world = new DeviceWorld({
    systemd,
    disk,
    store,
    clock: systemClock,
    journal,
    watch,
    files: new PodFiles(disk, { ...places, mounts: `${places.run}/images` }),
    directories: places,
    host: { ...host, crunPath: places.crun, allow: config.allow },
    networks: () => readNetworkFacts(disk, places, config.network),
    metadataKey: () => metadataKey(disk, places.metadataKey, systemRandom),
    architectures: host.architectures,
    unsavedSecrets: sealed,
    whyWait: holdOf(places, host.bootId, now),
    connected: () => hasBroker,
    reserveBytes: config.limits.reserveBytes,
    compression: config.store.compression,
    pull: async (image, onProgress, pullSignal) => {
      await requireSecret(places.credentials);
      const signers = trust.image(image.name);
      return await pullImage(
        {
          image,
          ...signers,
          copies: trust.copies(),
          architectures: host.architectures,
          limits: {
            maxTarBytes: config.limits.maxImageBytes,
            maxEntries,
            maxRatio: 200,
            minBytesPerSecond: config.limits.minBytesPerSecond,
            maxBytesPerSecond: config.download.maxBytesPerSecond,
          },
          compression: config.store.compression,
          time: now(),
          ...(unsealable === undefined ? { seals: true } : {}),
          ...(config.download.proxy === undefined ? {} : { proxy: config.download.proxy }),
        },
        { systemd, disk, store, clock: systemClock, places, owner },
        onProgress,
        pullSignal,
      );
    },
    render: (rendering, renderSignal) =>
      renderInUnit(
        rendering,
        {
          ...{ systemd, disk, store, owner, partial: places.partial },
          // Read from its object, an image may have longer headers than its archive had.
          limits: { maxTarBytes: config.limits.maxImageBytes + maxEntries * maxHeaderBytes, maxEntries },
          compression: config.store.compression,
        },
        renderSignal,
      ),
  });

  const visits = await readyToVisit({ systemd, disk, units: places.units }, config.broker, journal);
  const brokers = await openBrokers(config.broker, { clock: systemClock, journal });
  const session = new DeviceSession({
    fleet: config.fleet,
    device: config.device,
    groups: config.groups,
    bootId: host.bootId,
    transport: brokers,
    clock: systemClock,
    journal,
    policy: { bootSpreadMs: visits.isWoken ? 0 : config.broker.bootSpreadSeconds * 1000 },
  });
  /** The unit that examines does so for one message at a time. */
  const examining = inTurn();
  let seq = 0;
  const reporter = new Reporter(
    systemClock,
    async () => {
      seq += 1;
      const parts = { places, world, watch, supervisor, brokers };
      return await buildReport(config, host, keeper.state, parts, seq);
    },
    (report) => {
      session.publishReport(report);
      keepRecord(places.record, { report, network: config.network }).catch((error: unknown) =>
        journal.log('warning', `the record for the local API cannot be written: ${String(error)}`),
      );
    },
    (error) => journal.log('warning', `a report could not be made: ${String(error)}`),
  );
  const supervisor = new Supervisor({
    keeper,
    groups: config.groups,
    world,
    clock: systemClock,
    journal,
    bootId: host.bootId,
    check: checkMessage,
    later: (delayMs, work) => {
      systemClock.sleep(delayMs, signal).then(work, () => undefined);
    },
    examine: async (message, _state, examineSignal, group) => {
      await roots.settled(examineSignal);
      return await examining(() => {
        // Now, in turn: a root that came before the message counts.
        const { root } = keeper.state;
        const { withdrawn: _withdrawn, ...trusted } = markOfTarget(keeper.state, group);
        return examineInUnit(
          message,
          {
            ...trust.deploy(),
            copies: trust.copies(),
            fleet: config.fleet,
            device: config.device,
            ...(group === undefined ? {} : { group }),
            ...(isUntried(keeper.state, config.groups, group) ? { untried: true as const } : {}),
            trusted: trustedInEra(trusted, root?.era),
            time: now(),
            ...(root === undefined ? {} : { root: termsOf(root) }),
          },
          {
            ...{ systemd, disk, run: places.run, owner },
            seal: async (secrets, directory) => {
              sealed.clear();
              for (const { digest } of secrets) sealed.add(digest);
              const ports = { systemd, disk, secrets: places.secrets };
              await sealInUnit(secrets, directory, ports, examineSignal);
            },
          },
          examineSignal,
        );
      });
    },
    onRest: options.onRest,
    onChange: () => reporter.request(),
    onEvent: (event) => session.publishEvent(event),
    onWithdrawn: () => session.askForCommands(),
    onRepeated: () => session.repeatReport(),
    onAccepted: (desired) => session.setReconnectWindow(desired.policy.reconnectWindowSeconds),
  });

  const roots = new RootUpdates({
    keeper,
    clock: systemClock,
    journal,
    files: () => rootFiles(stores),
    examine: (message, trusted, examineSignal) =>
      examining(() =>
        examineRootInUnit(
          message,
          {
            fleet: config.fleet,
            time: now(),
            copies: trust.copies(),
            ...(trusted === undefined ? {} : { trusted }),
          },
          { systemd, disk, run: places.run, owner },
          examineSignal,
        ),
      ),
    onTrusted: ({ document }) => {
      supervisor.forgetJudgement();
      session.awaitRoot(document.version + 1);
      reporter.request();
    },
    onRefused: (code, message) => supervisor.refuse(code, message),
  });

  // A stop that comes before wherryd is ready does not wait for systemd.
  const giveUp = (): void => systemd.close();
  signal.addEventListener('abort', giveUp, { once: true });
  try {
    await world.reconcile(keeper.state);
  } catch (error) {
    if (!signal.aborted) throw error;
    notifier.close();
    return 'stopped';
  }
  signal.removeEventListener('abort', giveUp);
  session.onDesired((message, group) => supervisor.receive(message, group));
  session.onRoot((version, message) => roots.receive(version, message));
  if (roots.trusted !== undefined) session.awaitRoot(roots.trusted.document.version + 1);
  session.onRefused((refusal, group) => supervisor.refuse('envelope-too-large', refusal.message, 0, group));
  session.onConnection((state) => {
    hasBroker = state.up;
    if (state.up) roots.expect();
    if (state.up) reporter.request();
  });
  let collecting: Promise<void> | undefined;
  const collect = (): void => {
    collecting ??= collectGarbage(supervisor, world, keeper, journal, signal).finally(
      () => (collecting = undefined),
    );
  };
  options.onCollect(collect);
  const stops = [
    watch.start(() => reporter.request()),
    runBySchedule('report.schedule', config.reportSchedule, () => reporter.look()),
    runBySchedule('gc.schedule', config.gcSchedule, collect),
  ];
  session.start();
  supervisor.resume();
  if (config.telemetrySeconds > 0) {
    const look = async (): Promise<Readings> => ({
      ...{
        atMs: systemClock.nowMs(),
        monotonicMs: systemClock.monotonicMs(),
        clockTrusted: now().clockTrusted,
      },
      ...(await lookAtDevice(places.images)),
      apps: await lookAtApps(world, watch),
    });
    const onError = (error: unknown): void =>
      journal.log('warning', `telemetry could not be read: ${String(error)}`);
    const publish = (telemetry: Telemetry): void => session.publishTelemetry(telemetry);
    void sendTelemetry({ clock: systemClock, look, publish, onError }, config.telemetrySeconds, signal);
  }
  // A root that was put on the device counts although no command comes.
  const rooting = roots.settled(signal).catch((error: unknown) => {
    if (!signal.aborted) journal.log('warning', `the root of trust could not be looked at: ${String(error)}`);
  });
  reporter.request();
  await admitGroup(places.apiSocket, config.api.group, journal);
  notifier.ready();
  // After the pods and the link: what is found here is told, and no pod waited for it.
  const looking = world.checkObjects(keeper.state).then(
    () => {
      if (world.damaged.length > 0) reporter.request();
    },
    (error: unknown) => journal.log('warning', `images could not be looked at: ${String(error)}`),
  );
  void looking.then(options.onRest);
  journal.log(
    'info',
    `wherry ${wherryVersion()} supervises device ${config.device} of fleet ${config.fleet}`,
  );

  if (visits.areOn) {
    const ports = {
      clock: systemClock,
      isBusy: () => supervisor.busy,
      traffic: () => session.traffic,
      probationSeconds: () => keeper.state.pending?.desired.policy.probationSeconds ?? 0,
      settled: () => roots.settled(signal).catch(() => undefined),
    };
    await endOfVisit(ports, signal);
  } else if (!signal.aborted) {
    await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
  }
  const isStopped = signal.aborted;
  if (!isStopped) journal.log('info', 'the visit to the broker is over; wherryd.timer starts the next one');
  notifier.stopping();
  for (const stop of stops) stop();
  // Whatever waits for systemd then fails, and a deployment stays pending.
  const patience = setTimeout(() => systemd.close(), stopWithinMs);
  await looking;
  await rooting;
  await roots.close();
  await supervisor.close();
  await session.close();
  clearTimeout(patience);
  notifier.close();
  systemd.close();
  return isStopped ? 'stopped' : 'visited';
}

/** What a command is judged by, of the root. */
function termsOf({ document, era }: TrustedRoot): { version: number; expires: number; notBefore?: number } {
  const { version, expires } = document;
  return { version, expires, ...(era === undefined ? {} : { notBefore: era.issued }) };
}

/** Nothing is collected under a deployment: what it is about to use has no root yet. */
async function collectGarbage(
  supervisor: Supervisor,
  world: DeviceWorld,
  keeper: StateKeeper,
  journal: Journal,
  signal: AbortSignal,
): Promise<void> {
  try {
    await supervisor.rest(); // what a deployment is about to use is nobody's yet
    if (signal.aborted) return;
    await world.collect(keeper.state);
  } catch (error) {
    journal.log('warning', `garbage could not be collected: ${String(error)}`);
  }
}
