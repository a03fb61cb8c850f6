import { systemClock } from '../../core/ports/index.ts';
import { DeviceSession } from '../session/index.ts';
import { openBrokers } from './broker-addresses.ts';
import { buildReport } from './device-report.ts';
import { answerLogs } from './answer-logs.ts';
import { admitGroup } from './api-socket.ts';
import { garbageRounds } from './garbage.ts';
import { lastRecord } from '../local-api/index.ts';
import { keptEvents } from './kept-events.ts';
import { recordKeeper } from './local-record.ts';
import { lookAtApps, lookAtDevice } from './look-at-numbers.ts';
import { makeSupervisor } from './make-supervisor.ts';
import { makeWorld } from './make-world.ts';
import { openDevice, type OpenOptions } from './open-device.ts';
import type { Readings } from './readings.ts';
import { sendTelemetry } from './telemetry-schedule.ts';
import type { Telemetry } from '../../wire/report/index.ts';
import { Reporter } from './reporter.ts';
import { runBySchedule } from './schedule.ts';
import { endOfVisit } from './visit.ts';
import { readyToVisit } from './wake-timer.ts';
import { wherryVersion } from './version.ts';

export interface DaemonOptions extends OpenOptions {
  /** Registers a listener for requests for garbage collection (`wherry gc` sends SIGUSR2). */
  readonly onCollect: (listener: () => void) => void;
  /** Called when the start or a deployment has ended: its memory is no longer needed. */
  readonly onRest: () => void;
  readonly signal: AbortSignal;
}

/**
 * How long a stop waits for calls to systemd that are under way; the unit's TimeoutStopSec is
 * longer.
 */
const stopWithinMs = 8_000;

/**
 * How long the unit counts as starting while the committed pods start, which may take hours;
 * systemd gives up later (TimeoutStartSec).
 */
const startWithinMs = 60_000;

/**
 * wherryd: assembles the parts and runs until `signal` is aborted or a visit to the broker is over.
 * The pods keep running.
 */
export async function runDaemon(options: DaemonOptions): Promise<'stopped' | 'visited'> {
  const { journal, places, signal } = options;
  const device = await openDevice(options);
  const { config, disk, notifier, systemd, host, keeper, trust, now, owner, examining } = device;
  const sealed = new Set<string>();
  let hasBroker = false;
  const broker = { connected: () => hasBroker, reach: () => session.reach() };
  const { world, watch } = makeWorld(device, { sealed, broker });

  const visits = await readyToVisit({ systemd, disk, units: places.units }, config.broker, journal);
  const brokers = openBrokers(config.broker, {
    ...{ clock: systemClock, journal, raiseClock: device.raiseClock },
  });
  const session = new DeviceSession({
    fleet: config.fleet,
    device: config.device,
    groups: config.groups,
    asks: config.remoteLogPods.length > 0,
    bootId: host.bootId,
    transport: brokers,
    clock: systemClock,
    journal,
    keptEvents: keptEvents(places.unsent, config, journal),
    policy: { bootSpreadMs: visits.isWoken ? 0 : config.broker.bootSpreadSeconds * 1000 },
  });
  // A restarted wherryd counts on: the times of reports give no order where the clock is set back.
  let seq = (await lastRecord(places).catch(() => undefined))?.report.seq ?? 0;
  const keepRecord = recordKeeper(places.record);
  const reporter = new Reporter(
    systemClock,
    async () => {
      seq += 1;
      const parts = { places, world, watch, supervisor, brokers };
      return await buildReport(config, host, keeper.state, parts, seq);
    },
    (report) => {
      session.publishReport(report);
      const units = world.pods.flatMap(({ services }) => services.map(({ unit }) => unit));
      keepRecord({ report, units, network: config.network, api: { exec: config.api.exec } }).catch(
        (error: unknown) =>
          journal.log('warning', `the record for the local API cannot be written: ${String(error)}`),
      );
    },
    (error) => journal.log('warning', `a report could not be made: ${String(error)}`),
  );
  const { supervisor, roots } = makeSupervisor(device, {
    ...{ world, session, sealed, signal },
    report: () => reporter.request(),
    onRest: options.onRest,
  });

  const logs = answerLogs({
    ...{ config, places, journal, session, keeper, trust, roots, now, examining },
    ...{ bootId: host.bootId, unit: { systemd, disk, owner } },
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
  const garbage = garbageRounds({
    ...{ journal, signal },
    rest: () => supervisor.rest(),
    collect: () => world.collect(keeper.state),
  });
  options.onCollect(() => garbage.begin());
  const stops = [watch.start(() => reporter.request())];
  session.start();
  const started = supervisor.resume();
  if (config.telemetrySeconds > 0) {
    const look = async (): Promise<Readings> => ({
      clockTrusted: (await now()).clockTrusted,
      ...{ atMs: systemClock.nowMs(), monotonicMs: systemClock.monotonicMs() },
      ...(await lookAtDevice(places.images)),
      apps: await lookAtApps(world, watch),
    });
    const onError = (error: unknown): void =>
      journal.log('warning', `telemetry could not be read: ${String(error)}`);
    const publish = (telemetry: Telemetry): void => session.publishTelemetry(telemetry);
    void sendTelemetry({ clock: systemClock, look, publish, onError }, config.telemetrySeconds, signal);
  }
  // A root that was put on the device is trusted even if no command comes.
  const rooting = roots.settled(signal).catch((error: unknown) => {
    if (!signal.aborted) journal.log('warning', `the root of trust could not be checked: ${String(error)}`);
  });
  reporter.request();
  await admitGroup(places.apiSocket, config.api.group, journal);
  await within(startWithinMs, started, signal);
  notifier.ready();
  // systemd would count on: no run, however long, makes the next restart as quick as the first.
  void systemd.resetFailed('wherryd.service').catch((error: unknown) => {
    if (signal.aborted) return;
    journal.log('warning', `the delay of restarts of wherryd could not be reset: ${String(error)}`);
  });
  stops.push(
    runBySchedule(config.reportSchedule, () => reporter.look(), systemClock),
    runBySchedule(config.gcSchedule, () => garbage.begin(), systemClock),
  );
  // After the pods and the connection: damage is only reported, so no pod waits for the check.
  const looking = world.check(keeper.state).then(
    () => {
      if (world.damaged.length > 0) reporter.request();
    },
    (error: unknown) =>
      journal.log('warning', `images and files of pods could not be checked: ${String(error)}`),
  );
  void looking.then(options.onRest);
  journal.log(
    'info',
    `wherry ${wherryVersion()} supervises device ${config.device} of fleet ${config.fleet}`,
  );

  if (visits.areOn) {
    const ports = {
      clock: systemClock,
      isBusy: () => supervisor.busy || logs.busy,
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
  // Pending calls to systemd then fail, and the deployment stays pending.
  const patience = setTimeout(() => systemd.close(), stopWithinMs);
  await looking;
  await rooting;
  await logs.close();
  await roots.close();
  await supervisor.close();
  reporter.close();
  await session.close();
  clearTimeout(patience);
  notifier.close();
  systemd.close();
  return isStopped ? 'stopped' : 'visited';
}

/** Resolves when `work` does, after `withinMs`, or when `signal` is aborted. */
async function within(withinMs: number, work: Promise<void>, signal: AbortSignal): Promise<void> {
  const over = new AbortController();
  const late = systemClock.sleep(withinMs, AbortSignal.any([signal, over.signal])).catch(() => undefined);
  await Promise.race([work, late]);
  over.abort();
}
