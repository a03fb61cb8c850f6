import { mkdir } from 'node:fs/promises';
import type { StateKeeper } from '../deploy/index.ts';
import type { Journal } from '../ports/index.ts';
import { DeviceSession, MqttTransport } from '../session/index.ts';
import { imageStore, nodeDisk, programVerity, stateSlots } from '../store/index.ts';
import { connectSystemd, openNotifier } from '../systemd/index.ts';
import { type DeviceTime, deviceTime, keysForImage, timeFloor } from '../trust/index.ts';
import { readCredentials } from './broker-credentials.ts';
import { systemClock } from './clock.ts';
import { parseConfig } from './config.ts';
import { buildReport } from './device-report.ts';
import { DeviceWorld } from './device-world.ts';
import { examineInUnit } from './examine-unit.ts';
import { lookAtHost, readCgroupFile } from './host.ts';
import { PodFiles } from './pod-files.ts';
import { PodWatch } from './pod-watch.ts';
import { type Places, pullUser } from './places.ts';
import { pullImage } from './pull-unit.ts';
import { renderInUnit } from './render-unit.ts';
import { Reporter } from './reporter.ts';
import { requireSecret } from './require-secret.ts';
import { runBySchedule } from './schedule.ts';
import { openState } from './state-file.ts';
import { Supervisor } from './supervisor.ts';
import { trustFiles } from './trust-files.ts';
import { accountOf } from './unit-account.ts';
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

/** Of one image, and of all that one tree is rendered of. */
const maxEntries = 100_000;
/** Header, PAX header and its usual records. */
const maxHeaderBytes = 2048;

/** wherryd: puts the parts together, runs until `signal` is aborted, and leaves the pods running. */
export async function runDaemon(options: DaemonOptions): Promise<void> {
  const { journal, places, signal } = options;
  const config = parseConfig(options.configText);
  const disk = nodeDisk();
  const notifier = openNotifier(journal);
  const systemd = connectSystemd({ watched: ['wherry-pod-'] });
  const trust = trustFiles({ local: places.trust, system: places.systemTrust });
  for (const place of [places.images, places.partial, places.pods, places.run]) {
    await mkdir(place, { recursive: true, mode: 0o755 });
  }
  const verity = programVerity();
  const unsealable = await verity.lack(places.images);
  const host = lookAtHost(places.run, unsealable);
  const store = imageStore(disk, places.images, { verity, seals: unsealable === undefined });
  const keeper = await openState(stateSlots(disk, places.state));
  const owner = await accountOf(pullUser);

  const now = (): DeviceTime => {
    const newestIssued = keeper.state.trusted.issued;
    const floor = timeFloor({ buildTime: options.buildTime, newestIssued, savedTime: 0 });
    return deviceTime(Math.floor(systemClock.nowMs() / 1000), options.clockIsKept(), floor);
  };
  const watch = new PodWatch(systemd, readCgroupFile);
  const world = new DeviceWorld({
    systemd,
    disk,
    store,
    clock: systemClock,
    journal,
    watch,
    files: new PodFiles(disk, { ...places, mounts: `${places.run}/images` }),
    directories: places,
    host: { ...host, crunPath: places.crun },
    architectures: host.architectures,
    reserveBytes: config.limits.reserveBytes,
    compression: config.store.compression,
    pull: async (image, onProgress, pullSignal) => {
      await requireSecret(places.credentials);
      return await pullImage(
        {
          image,
          keys: keysForImage(image.name, trust.imageKeys()),
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

  const session = new DeviceSession({
    fleet: config.fleet,
    device: config.device,
    bootId: host.bootId,
    transport: new MqttTransport({ ...config.broker, ...(await readCredentials(config.broker)) }),
    clock: systemClock,
    journal,
    policy: { bootSpreadMs: config.broker.bootSpreadSeconds * 1000 },
  });
  let seq = 0;
  const reporter = new Reporter(
    systemClock,
    async () => {
      seq += 1;
      return await buildReport(config, host, keeper.state, world, watch, supervisor, seq);
    },
    (report) => session.publishReport(report),
    (error) => journal.log('warning', `a report could not be made: ${String(error)}`),
  );
  const supervisor = new Supervisor({
    keeper,
    world,
    clock: systemClock,
    journal,
    bootId: host.bootId,
    examine: (message, state, examineSignal) =>
      examineInUnit(
        message,
        {
          keys: trust.deployKeys(),
          fleet: config.fleet,
          device: config.device,
          trusted: state.trusted,
          time: now(),
        },
        { systemd, disk, run: places.run, owner },
        examineSignal,
      ),
    onRest: options.onRest,
    onChange: () => reporter.request(),
    onEvent: (event) => session.publishEvent(event),
    onAccepted: (desired) => session.setReconnectWindow(desired.policy.reconnectWindowSeconds),
  });

  await world.reconcile(keeper.state);
  session.onDesired((message) => supervisor.receive(message));
  session.onRefused((refusal) => supervisor.refuse('envelope-too-large', refusal.message));
  session.onConnection((state) => {
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
    runBySchedule('report.schedule', config.reportSchedule, () => reporter.request()),
    runBySchedule('gc.schedule', config.gcSchedule, collect),
  ];
  session.start();
  supervisor.resume();
  reporter.request();
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

  await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
  notifier.stopping();
  for (const stop of stops) stop();
  await looking;
  await supervisor.close();
  await session.close();
  notifier.close();
  systemd.close();
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
