import { isAcName, type PodApp, resolveAccount } from '../../image/appc/index.ts';
import { Refusal } from '../../core/refusal/index.ts';
import { judge, type JudgedApp } from './allow-list.ts';
import { bundleConfig } from './bundle.ts';
import type { CompiledPod, PodInput } from './compiled-pod.ts';
import { choosePodNetwork, type DeclaredPorts, hostOnly, networkLimit, portsOf } from '../network/index.ts';
import { compileHolder } from './compile-holder.ts';
import { compileMetadata, metadataPorts, metadataSocket } from './compile-metadata.ts';
import {
  bundleNetwork,
  compileAttachment,
  hostname,
  type NetworkedPod,
  networkName,
} from './compile-network.ts';
import { appDevices, deviceList } from './devices.ts';
import { type ProbeParts, compileProbe } from './compile-probe.ts';
import {
  compileDelivery,
  deliverAll,
  type Delivery,
  refuseOverSecrets,
  secretsOf,
} from './compile-secrets.ts';
import { compileSchedule, scheduleNames } from './compile-schedule.ts';
import { compileSockets, hasSockets } from './compile-sockets.ts';
import { effectiveApp, effectiveApps, imageOf, isForArm32 } from './effective-app.ts';
import { isolateApp, isolatePod, type PodIsolation } from './isolation.ts';
import { limitedVolumes, volumeMountUnit } from './limited-volumes.ts';
import type { LimitedHost } from './limits.ts';
import { imageMount, podPlaces } from './places.ts';
import { probeScript, probeScriptPath } from './probe-script.ts';
import { releaseScript, releaseScriptPath } from './release-script.ts';
import { beyondDefault } from './seccomp.ts';
import { type PodSchedule, podSchedule } from './schedule.ts';
import { type AppSecret, secretsRevision } from './secrets.ts';
import { type AppSettings, appSettings, scheduledAppSettings } from './settings.ts';
import { startOrder } from './start-order.ts';
import { startScript, startScriptPath } from './start-script.ts';
import { stopScript, stopScriptPath } from './stop-script.ts';
import { mountUnit, serviceUnit, sliceUnit } from './units.ts';
import { type VolumeKind, volumeKinds } from './volume-kinds.ts';
import { refuseSharedMemory, sourceOf, volumeDirectories } from './volume-places.ts';
import { disksOf, hostSources, resolveMounts, type ResolvedMount, sourcesOf } from './volumes.ts';

type File = CompiledPod['files'][number];

interface CompiledApp {
  readonly unit: string;
  readonly sockets?: CompiledPod['units'][number];
  readonly name: string;
  readonly imageId: PodApp['image']['id'];
  readonly settings: AppSettings;
  readonly service: string;
  readonly secrets: readonly AppSecret[];
  /** Absent for an app whose own unit has its secrets. */
  readonly delivery: Delivery | undefined;
  readonly files: readonly File[];
  readonly mounts: readonly ResolvedMount[];
  readonly isolators: CompiledPod['isolators'];
  readonly networkBytesPerSecond: bigint | undefined;
  readonly judged: JudgedApp;
  readonly probe: ProbeParts;
}

/** What the apps of a pod share. */
interface PodContext extends NetworkedPod {
  readonly isolation: PodIsolation;
  readonly holder: boolean;
  readonly limited: LimitedHost;
  /** Absent for a pod that is not scheduled. */
  readonly schedule: PodSchedule | undefined;
  /** The settings of each app, by its name. */
  readonly settings: ReadonlyMap<string, AppSettings>;
  /** The kinds of volumes that annotations extend beyond the specification. */
  readonly kinds: ReadonlyMap<string, VolumeKind>;
}

/**
 * Compiles a pod into units and bundles.
 * @throws Refusal with a code of class `pod` when the manifest cannot be run, `device-unsupported`
 *   when this device lacks something that it needs
 */
export function compilePod(input: PodInput): CompiledPod {
  const { name, uuid, manifest, host } = input;
  if (!isAcName(name)) {
    throw new Refusal('pod-manifest-invalid', `the pod's name is not an AC Name: ${JSON.stringify(name)}`);
  }
  if (manifest.apps.length === 0) throw new Refusal('pod-manifest-invalid', `pod ${name} has no app`);
  const places = podPlaces(name, uuid, host);
  const facts = host.network ?? hostOnly;
  const named = input.metadataUrl !== undefined || hasSockets(effectiveApps(input));
  const network = choosePodNetwork(name, manifest, facts, named);
  const limited: LimitedHost = {
    ...host,
    networkLimit: (bytes) => networkLimit(network, facts, bytes),
    disks: disksOf(input, hostSources(manifest)),
  };
  const isolation = isolatePod(manifest.isolators, limited, network.kind);
  const holder = manifest.apps.length > 1;
  const schedule = podSchedule(manifest);
  const settings = new Map(manifest.apps.map((podApp) => [podApp.name, settingsOf(podApp, input, schedule)]));
  const kinds = volumeKinds(manifest);
  const context: PodContext = {
    ...{ input, places, isolation, holder, network, limited, schedule, settings, kinds },
  };
  const order = startOrder([...settings].map(([app, { after }]) => ({ name: app, after })));
  const apps = manifest.apps
    .map((podApp) => compileApp(podApp, context))
    .sort((one, other) => order.indexOf(one.name) - order.indexOf(other.name));
  refuseSharedMemory(apps, kinds);
  const held = holder
    ? compileHolder(context, schedule !== undefined)
    : { files: [], directories: [], units: [] };
  const ports = portsOf(name, network, manifest, effectiveApps(input));
  const refusal = judgePod(context, apps, ports.declared);
  if (refusal !== undefined) throw refusal;
  const attachment = compileAttachment(
    context,
    ports.mapped,
    [isolation, ...apps].map(({ networkBytesPerSecond }) => networkBytesPerSecond),
    isolation.networkSysctl,
  );
  const sockets = [
    ...compileMetadata(context),
    ...apps.flatMap(({ sockets }) => (sockets === undefined ? [] : [sockets])),
  ];
  const delivered = deliverAll(
    apps.flatMap(({ delivery }) => delivery ?? []),
    host,
  );
  const limitedOnes = limitedVolumes(apps, places, kinds);
  const images = [...new Set(manifest.apps.flatMap(({ image }) => input.images.get(image.id)?.layers ?? []))];
  const scheduled =
    schedule &&
    compileSchedule(
      name,
      schedule,
      namesOfSchedule(context),
      apps.map(({ unit }) => unit),
    );
  const services = apps.map(
    ({ name: app, unit, secrets, delivery, imageId, settings, probe: { probe } }) => ({
      app,
      unit,
      imageId,
      ...(settings.once ? { onceSeconds: settings.startTimeoutSeconds } : {}),
      ...(probe === undefined ? {} : { probe }),
      ...(secrets.length === 0 ? {} : { secrets: secrets.map(({ digest }) => digest) }),
      ...(delivery === undefined ? {} : { delivery: delivery.unit.name }),
    }),
  );
  return {
    name,
    uuid,
    slice: places.slice,
    services,
    mounts: [
      ...images.map((id) => imageMount(id, host).unit),
      ...limitedOnes.map(({ unit }) => unit),
      ...delivered.mounts,
      ...[...held.units, ...attachment.units, ...sockets].map((unit) => unit.name),
      ...(scheduled === undefined ? [] : [namesOfSchedule(context).run]),
    ],
    ...(scheduled === undefined ? {} : { timer: scheduled.timer, calendar: scheduled.calendar }),
    units: [
      ...images.map((id) => mountUnit(id, host)),
      ...limitedOnes.map((volume) => volumeMountUnit(name, volume, host)),
      { name: places.slice, text: sliceUnit(name, isolation.limits) },
      ...held.units,
      ...attachment.units,
      ...sockets,
      ...apps.map(({ unit, service }) => ({ name: unit, text: service })),
      ...apps.flatMap(({ probe }) => probe.units),
      ...delivered.units,
      ...(scheduled?.units ?? []),
    ],
    files: [
      { path: startScriptPath, content: startScript, mode: 0o644 },
      { path: releaseScriptPath, content: releaseScript, mode: 0o644 },
      { path: stopScriptPath, content: stopScript, mode: 0o644 },
      ...(apps.some(({ probe }) => probe.units.length > 0)
        ? [{ path: probeScriptPath, content: probeScript, mode: 0o644 }]
        : []),
      ...delivered.files,
      ...held.files,
      ...attachment.files,
      ...apps.flatMap(({ files, probe }) => [...files, ...probe.files]),
    ],
    directories: [
      ...held.directories,
      ...volumeDirectories(apps, (name) => (kinds.has(name) ? undefined : places.volume(name))),
    ],
    keptVolumes: volumeDirectories(apps, (name) => {
      const kind = kinds.get(name);
      return kind?.kind === 'kept' && kind.limitBytes === undefined ? places.keptVolume(name) : undefined;
    }),
    limitedVolumes: limitedOnes,
    sources: apps.flatMap(({ mounts }, index) =>
      mounts.flatMap(({ volume }) =>
        volume.kind === 'host'
          ? [{ app: services[index]?.app ?? '', path: volume.source, readOnly: volume.readOnly }]
          : [],
      ),
    ),
    isolators: [...isolation.reports, ...apps.flatMap(({ isolators }) => isolators)],
    ...(network.kind === 'host' ? {} : { network: networkName(network) }),
    ports: { mapped: network.kind !== 'host', ports: [...ports.declared, ...metadataPorts(context)] },
  };
}

function judgePod(
  { input: { name, manifest, host } }: PodContext,
  apps: readonly CompiledApp[],
  ports: DeclaredPorts,
): Refusal | undefined {
  if (host.allow === undefined) return undefined;
  return judge({ name, manifest, apps: apps.map(({ judged }) => judged), ports }, host.allow);
}

function settingsOf(podApp: PodApp, input: PodInput, schedule: PodSchedule | undefined): AppSettings {
  const read = schedule === undefined ? appSettings : scheduledAppSettings;
  return read(podApp.name, podApp.annotations, imageOf(podApp, input).manifest.annotations);
}

function compileApp(podApp: PodApp, context: PodContext): CompiledApp {
  const { input, places, isolation: pod, holder, network } = context;
  const { host, manifest } = input;
  const image = imageOf(podApp, input);
  const app = effectiveApp(podApp, image);
  const mounts = resolveMounts(podApp, app, manifest);
  const isolation = isolateApp(podApp.name, app.isolators, limitsOfApp(context, mounts), pod);
  const id = places.containerId(podApp.name);
  const settings = context.settings.get(podApp.name) ?? settingsOf(podApp, input, context.schedule);
  const secrets = secretsOf(podApp.name, settings, input);
  refuseOverSecrets(podApp.name, mounts, secrets);
  const account = resolveAccount(`app ${podApp.name}:`, app, image);
  const devices = appDevices(podApp);
  const unit = unitOf(podApp.name, context);
  const sockets = compileSockets(podApp.name, app, unit, context, context.schedule);
  const delivery = compileDelivery({
    podName: input.name,
    app: podApp.name,
    unit,
    settings,
    secrets,
    account,
    places,
    host,
  });
  const config = (exec: readonly string[], handler?: string) =>
    bundleConfig({
      appName: podApp.name,
      app,
      exec,
      account,
      isolation,
      root: `${places.runtime(id)}/layer/rootfs`,
      readOnlyRoot: podApp.readOnlyRootFs,
      arm32: host.machine === 'arm64' && isForArm32(image),
      devices,
      mounts: mounts.map((mount) => ({ ...mount, ...sourceOf(mount, places, context.kinds) })),
      network: bundleNetwork(context),
      ...(settings.notify ? { notify: { watchdogSeconds: settings.watchdogSeconds } } : {}),
      ...(secrets.length === 0 ? {} : { secrets: delivery?.directory ?? `${places.runtime(id)}/secrets` }),
      ...(input.metadataUrl === undefined ? {} : { metadataUrl: input.metadataUrl }),
      ...(sockets === undefined || handler !== undefined ? {} : { sockets: sockets.names }),
      ...(holder
        ? { namespaces: places.namespaces }
        : { own: { hostname: hostname(input.name), sysctl: pod.sysctl } }),
    });
  const file = (exec: readonly string[], handler?: string): File => ({
    path: `${places.bundle(podApp.name, handler)}/config.json`,
    content: config(exec, handler),
    mode: 0o600,
  });
  return {
    name: podApp.name,
    imageId: podApp.image.id,
    settings,
    unit,
    ...(sockets === undefined ? {} : { sockets: sockets.unit }),
    secrets,
    delivery,
    service: serviceUnit({
      podName: input.name,
      uuid: input.uuid,
      app: podApp.name,
      layers: image.layers,
      places,
      host,
      settings,
      after: settings.after.map((other) => ({
        unit: unitOf(other, context),
        once: context.settings.get(other)?.once === true,
      })),
      limits: isolation.limits,
      devices,
      secrets: delivery === undefined ? secrets : [],
      account,
      volumes: [
        ...limitedVolumes([{ name: podApp.name, mounts }], places, context.kinds).map(({ unit }) => unit),
        ...(delivery === undefined ? [] : [delivery.mount]),
      ],
      sources: [...new Set(mounts.flatMap(({ volume }) => sourcesOf(volume, input.realSources)))],
      postStop: app.eventHandlers.some((handler) => handler.name === 'post-stop'),
      ...(holder ? { holder: places.holderUnit } : {}),
      ...(context.schedule === undefined ? {} : { run: namesOfSchedule(context).run }),
      ...(network.kind === 'attached' ? { network: places.networkUnit } : {}),
      ...(input.metadataUrl === undefined ? {} : { metadata: metadataSocket(context) }),
      ...(sockets === undefined ? {} : { sockets: { unit: sockets.unit.name, count: sockets.names.length } }),
    }),
    files: [
      file(app.exec),
      ...app.eventHandlers.map((handler) => file(handler.exec, handler.name)),
      ...(devices.length === 0
        ? []
        : [{ path: `${places.bundle(podApp.name)}/devices`, content: deviceList(devices), mode: 0o600 }]),
    ],
    mounts,
    isolators: isolation.reports,
    judged: {
      name: podApp.name,
      uid: account.uid,
      devices,
      capabilities: isolation.capabilities,
      noNewPrivileges: isolation.noNewPrivileges,
      oomScoreAdj: isolation.oomScoreAdj,
      selinuxLabel: isolation.selinuxLabel,
      beyondFilter: beyondDefault(isolation.capabilities, isolation.seccomp),
    },
    networkBytesPerSecond: isolation.networkBytesPerSecond,
    probe: compileProbe({
      podName: input.name,
      app: podApp.name,
      settings,
      config: config(app.exec),
      network,
      places,
      host,
    }),
  };
}

/**
 * The unit of an app. A unit that starts after an app with secrets names the unit of that app, so
 * its own name changes along with it. An app that gets its secrets by a signal keeps its unit.
 */
function unitOf(app: string, context: PodContext): string {
  const settings = context.settings.get(app);
  if (settings === undefined) return context.places.service(app);
  const secrets = settings.secretsSignal === undefined ? secretsOf(app, settings, context.input) : [];
  const after = settings.after.map((other) => unitOf(other, context));
  const changing = after.filter((unit, at) => unit !== context.places.service(settings.after[at] ?? ''));
  if (secrets.length === 0 && changing.length === 0) return context.places.service(app);
  return context.places.service(app, secretsRevision(secrets, changing));
}

function namesOfSchedule(context: PodContext) {
  const units = [...context.settings.keys()].map((app) => [app, unitOf(app, context)] as const);
  return scheduleNames(context.places, new Map(units));
}

/** Apps of a pod share its network, so only that of a single app can be limited. */
function limitsOfApp(context: PodContext, mounts: readonly ResolvedMount[]): LimitedHost {
  const { input, network } = context;
  const sources = mounts.flatMap(({ volume }) => sourcesOf(volume));
  const limited = { ...context.limited, disks: disksOf(input, sources) };
  if (input.manifest.apps.length === 1 || network.kind !== 'attached') return limited;
  return {
    ...limited,
    networkLimit: () => ({
      outcome: 'ignored',
      detail: 'the apps of a pod share its network; limit the pod',
    }),
  };
}
