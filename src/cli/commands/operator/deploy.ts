import { existsSync } from 'node:fs';
import { isAcName, parseVolumeString, type AcName, type Volume } from '../../../image/appc/index.ts';
import {
  desiredImage,
  earlierContent,
  FleetDirectory,
  imageFiles,
  imagesOf,
  OfferedImages,
  isMember,
  isOutcome,
  namedSecrets,
  onEachMember,
  previewDeploy,
  publishContent,
  readActivation,
  readImageFile,
  readSecrets,
  replaceFile,
  requireEnough,
  requireSignature,
  type Sign,
  signContent,
  simplePod,
  targetName,
  type FleetLink,
  type OfferedImage,
  type Outcome,
  type Progress,
  type Published,
  type DesiredContent,
  type DeviceView,
  type TargetName,
} from '../../../operator/fleet/index.ts';
import { isRefusal, Refusal } from '../../../core/refusal/index.ts';
import type { SecretValue } from '../../../wire/trust/index.ts';
import { findByName } from './image-discover.ts';
import { podFromFile } from './pod-files.ts';
import { withLink, type Context } from '../../context.ts';
import { formatBytes } from '../../format.ts';
import type { CommandSigningFlags, ContentFlags, DeployFlags, WaitFlags } from '../../flags.ts';
import { signerOf } from '../../signing.ts';
import { LiveLines, paint, type Colour } from '../../terminal.ts';

/** `wherry deploy` */
export async function deploy(context: Context, names: readonly string[], flags: DeployFlags): Promise<void> {
  const targets = parseTargets(names, flags.group);
  const opened = await FleetDirectory.open(context.fleetPath);
  const values = await readSecrets(opened, flags.secret ?? []);
  const content = await contentFrom(context, opened, flags, values);
  const means = signingMeans(flags);
  requireOneForFile(targets, flags);
  if (flags.group !== undefined && values.length > 0)
    throw new Refusal('usage', '--secret is for devices: a command for a group is not encrypted');
  await withLink(context, async (link, fleet) => {
    // Which devices are in a group, and which of its versions they trust, they alone know.
    await link.listen(flags.group === undefined ? targets : 'all', (await fleet.devices()).filter(isAcName));
    if (flags.dryRun === true) {
      showPreviews(context, link, previewed(link, targets, flags), content);
      return;
    }
    const published = [];
    const before = link.views();
    for (const target of targets) {
      const all = { fleet, link, clock: context.clock, ...means };
      if (flags.signOnly === true) await signToFile(context, all, target, content, flags);
      else published.push(await publishContent(all, target, content, values));
    }
    if (flags.signOnly === true) return;
    await finish(context, followed(context, link, published, flags, before), flags);
  });
}

/** What is followed: the devices of a group answer for it. */
function followed(
  { terminal }: Context,
  link: FleetLink,
  published: readonly Published[],
  { group, wait }: DeployFlags,
  before: readonly DeviceView[],
): readonly Published[] {
  if (group === undefined || !wait) return published;
  const members = published.flatMap((one) => onEachMember(link, one, group, before));
  if (members.length === 0) {
    const version = published[0]?.version ?? 0;
    terminal.err(`version ${version} of the group ${group} is published; no device reports to be in it\n`);
  }
  return members;
}

function previewed(
  link: FleetLink,
  targets: readonly TargetName[],
  { group }: DeployFlags,
): readonly string[] {
  if (group === undefined) return targets;
  return link
    .views()
    .filter((view) => isMember(view, group))
    .map(({ device }) => device);
}

/**
 * What the command would stop and start, by the last report of each device; nothing is published or
 * offered.
 */
function showPreviews(
  context: Context,
  link: FleetLink,
  devices: readonly string[],
  content: DesiredContent,
): void {
  const { terminal } = context;
  const previews = devices.map((device) => {
    const { report } = link.view(device);
    if (report === undefined) {
      throw new Refusal('not-found', `${device} never reported to this broker, so what it runs is not known`);
    }
    return previewDeploy(report, content.pods);
  });
  if (context.json) {
    terminal.out(JSON.stringify(previews));
    return;
  }
  for (const { device, currentVersion, reportedAt, underWay, stop, start, keep } of previews) {
    const runs = currentVersion === 0 ? 'no version runs' : `version ${currentVersion} runs`;
    const also = underWay === undefined ? '' : `, version ${underWay} is being deployed`;
    terminal.out(`${device}: ${runs}${also} (report of ${new Date(reportedAt * 1000).toISOString()})`);
    for (const pod of stop) terminal.out(`  stop   ${pod}`);
    for (const pod of start) terminal.out(`  start  ${pod}`);
    for (const pod of keep) terminal.out(`  keep   ${pod}`);
  }
}

/** `wherry rollback` */
export async function rollback(
  context: Context,
  names: readonly string[],
  flags: WaitFlags & CommandSigningFlags & { readonly to?: number },
): Promise<void> {
  const devices = parseDevices(names);
  const signs = signingMeans(flags);
  requireOneForFile(devices, flags);
  await withLink(context, async (link, fleet) => {
    const means = { fleet, link, clock: context.clock, ...signs };
    await link.listen(devices);
    // All devices are looked up before the first one is commanded.
    const earlier = [];
    for (const device of devices)
      earlier.push({ device, ...(await earlierContent(means, device, flags.to)) });
    const published = [];
    for (const { device, version, content } of earlier) {
      if (flags.signOnly === true) {
        await signToFile(context, means, device, content, flags);
        continue;
      }
      const next = await publishContent(means, device, content);
      context.terminal.err(`${device}: version ${next.version} runs the pods of version ${version} again\n`);
      published.push(next);
    }
    if (flags.signOnly === true) return;
    await finish(context, published, flags);
  });
}

function signingMeans(flags: CommandSigningFlags): { readonly sign?: Sign } {
  const sign = signerOf(flags);
  return sign === undefined ? {} : { sign };
}

/** Each device has a command of its own, and a file holds one. */
function requireOneForFile(devices: readonly TargetName[], { signOnly, output }: CommandSigningFlags): void {
  if ((signOnly === true) !== (output !== undefined))
    throw new Refusal('usage', '--sign-only and -o FILE go together');
  if (signOnly === true && devices.length !== 1)
    throw new Refusal('usage', 'a file holds the command of one device; sign for one device at a time');
}

/** Keeps the command, signed once, for others to sign. Its version is taken from now on. */
async function signToFile(
  context: Context,
  means: Parameters<typeof signContent>[0],
  device: TargetName,
  content: DesiredContent,
  { output = '' }: CommandSigningFlags,
): Promise<void> {
  const { version, envelope } = await signContent(means, device, content);
  await requireEnough(means, envelope, 1);
  await means.fleet.claim(device, version, envelope);
  // So that "wherry status" does not publish what is not signed by enough people yet.
  await means.fleet.recordOutcome(device, version, 'unsent');
  await replaceFile(output, envelope);
  if (context.json) context.terminal.out(JSON.stringify({ device, version, file: output }));
  else
    context.terminal.out(
      `${device}  version ${version}  signed: ${output}; next: wherry countersign ${output}`,
    );
}

/** What the options ask for; every image is read, found signed, and offered to devices. */
export async function contentFrom(
  context: Context,
  fleet: FleetDirectory,
  flags: ContentFlags,
  values: readonly SecretValue[] = [],
): Promise<DesiredContent> {
  const runs = (flags.run ?? []).map((text) => named(text, '--run'));
  const files = (flags.pod ?? []).map((text) => named(text, '--pod'));
  const activation = readActivation(flags);
  const hasPods = runs.length + files.length > 0;
  if ([hasPods, flags.stopAll === true, flags.withdraw === true].filter(Boolean).length !== 1) {
    throw new Refusal(
      'usage',
      'say what to run with --run or --pod, or --stop-all to run nothing, or --withdraw to leave it to the groups',
    );
  }
  const wanted = runs.map(({ value }) => value);
  const { images, addresses } = await givenImages(context, fleet, flags, wanted);
  const offered = new OfferedImages(images);
  const limits = {
    ...(flags.memory === undefined ? {} : { memory: flags.memory }),
    ...(flags.cpu === undefined ? {} : { cpu: flags.cpu }),
    ...(flags.tasks === undefined ? {} : { tasks: flags.tasks }),
  };
  const simple = runs.map(({ name, value }) => ({ name, image: offered.find(value, `--run ${name}`) }));
  const volumes = volumesFor(
    simple.map(({ image }) => image),
    flags.volume ?? [],
  );
  const network = networkFor(flags);
  const settings = { network, secrets: values.map(({ name }) => name) };
  const pods = simple.map(({ name, image }) => simplePod(name, image, limits, volumes, settings));
  for (const { name, value } of files) pods.push(await podFromFile(name, value, offered));
  const used = imagesOf(pods, offered);
  const ofApps = new Set(pods.flatMap((pod) => pod.images.map(({ id }) => id)));
  const local = used.filter(({ id }) => !addresses.has(id));
  for (const image of local) await requireSignature(image);
  if (flags.dryRun !== true) for (const image of local) await fleet.offer(image);
  return {
    pods: pods.map(({ pod }) => pod),
    images: used.map((image) =>
      desiredImage(
        image,
        addresses.get(image.id) ?? [fleet.imageUrl(image, flags.baseUrl)],
        ofApps.has(image.id) ? offered.renderedBytes(image) : undefined,
      ),
    ),
    policy: {
      ...(flags.probation === undefined ? {} : { probationSeconds: flags.probation }),
      ...(flags.bestEffort === undefined ? {} : { limits: 'best-effort' as const }),
      ...(activation === undefined ? {} : { activation }),
      ...(flags.brokerLoss === undefined ? {} : { brokerLoss: flags.brokerLoss }),
    },
    secrets: namedSecrets(values),
    ...(flags.withdraw === true ? { withdrawn: true } : {}),
  };
}

/**
 * @throws Refusal `input-invalid` for what is no volume, is there twice, or would be mounted
 *   nowhere
 */
function volumesFor(images: readonly OfferedImage[], texts: readonly string[]): readonly Volume[] {
  const points = new Set(
    images.flatMap(({ manifest }) => manifest.app?.mountPoints ?? []).map(({ name }) => name),
  );
  const volumes = new Map<string, Volume>();
  for (const text of texts) {
    const volume = parseVolumeString(text);
    const { name } = volume;
    if (volumes.has(name)) throw new Refusal('input-invalid', `the volume ${name} is given twice`);
    if (!points.has(name))
      throw new Refusal('input-invalid', `no image of a --run pod has a mount point for the volume ${name}`);
    volumes.set(name, volume);
  }
  return [...volumes.values()];
}

/** @throws Refusal `usage` when no pod would get it, `input-invalid` for what is no name */
function networkFor({ network, run = [] }: ContentFlags): AcName | undefined {
  if (network === undefined) return undefined;
  if (run.length === 0) {
    const advice = 'a pod manifest names its network with the annotation wherry/network';
    throw new Refusal('usage', `--network is for --run pods; ${advice}`);
  }
  if (!isAcName(network)) {
    throw new Refusal(
      'input-invalid',
      `--network takes host, none, bridge or the name of a network of the device; ${JSON.stringify(network)} cannot be one`,
    );
  }
  return network;
}

/**
 * What `--image` and `--run` name, and the addresses of what lies on a web server: it stays there,
 * and devices get them.
 */
async function givenImages(
  context: Context,
  fleet: FleetDirectory,
  flags: ContentFlags,
  runs: readonly string[],
): Promise<{ images: readonly OfferedImage[]; addresses: ReadonlyMap<string, readonly string[]> }> {
  const images: OfferedImage[] = [];
  const addresses = new Map<string, readonly string[]>();
  for (const wanted of new Set([...(flags.image ?? []), ...runs])) {
    const files = await imageFiles(wanted);
    if (files[0] !== wanted) {
      // Not all that lies in a directory is used; what is needs a signature, as contentFrom sees
      // to.
      for (const file of files) images.push(await readImageFile(file));
      continue;
    }
    const found = existsSync(wanted) ? undefined : await findByName(context, fleet, wanted, flags);
    if (found !== undefined) addresses.set(found.image.id, found.urls);
    const image = found === undefined ? await readImageFile(wanted) : { ...found.image, path: wanted };
    if (found === undefined) await requireSignature(image);
    images.push(image);
  }
  return { images, addresses };
}

/**
 * Follows what was published to its end.
 * @throws the refusal of the first device that did not commit
 */
export async function finish(
  context: Context,
  published: readonly Published[],
  flags: WaitFlags,
): Promise<void> {
  const { terminal } = context;
  const lines = new LiveLines(terminal);
  const startedAtMs = context.clock.monotonicMs();
  const results = await Promise.all(
    published.map(async (command) => {
      const { device, version } = command;
      const show = (progress: Progress) => {
        const [text, milestone] = describe(progress);
        lines.update(
          device,
          `${device}  version ${version}  ${paint(terminal, colourOf(progress), text)}`,
          milestone,
        );
      };
      if (!flags.wait) {
        const kept = await command.isKept();
        const words = kept
          ? 'published'
          : 'sent; the broker does not return it, so check what this account may write';
        lines.update(device, `${device}  version ${version}  ${words}`, 'published');
        return { device, version, kept };
      }
      show({ phase: 'waiting' });
      try {
        const outcome = await command.follow(flags.timeout * 1000, show);
        const seconds = Math.round((context.clock.monotonicMs() - startedAtMs) / 100) / 10;
        return { device, version, outcome, seconds };
      } catch (error) {
        if (!isRefusal(error)) throw error;
        return { device, version, refusal: error };
      }
    }),
  );
  if (context.json) {
    const rows = results.map(({ device, version, kept, outcome, refusal, seconds }) => ({
      device,
      version,
      ...(kept === undefined ? {} : { kept }),
      ...(outcome === undefined ? {} : { ...outcome, seconds }),
      ...(refusal === undefined ? {} : { code: refusal.code, message: refusal.message }),
    }));
    terminal.out(JSON.stringify(rows));
  }
  for (const { device, outcome, refusal } of results) {
    if (refusal !== undefined) throw refusal;
    if (outcome !== undefined && outcome.phase !== 'committed') throw refusalOf(device, outcome);
  }
}

function refusalOf(device: string, outcome: Exclude<Outcome, { phase: 'committed' }>): Refusal {
  const what = {
    refused: 'refused the command',
    'rolled-back': 'went back to what it ran before',
    superseded: 'took a newer version',
  }[outcome.phase];
  return new Refusal(outcome.code, `${device} ${what}: ${outcome.message}`);
}

/** A line for people, and what of it is worth a new line in a log. */
function describe(progress: Progress): readonly [text: string, milestone: string] {
  switch (progress.phase) {
    case 'waiting':
      return ['waiting for the device', 'waiting'];
    case 'fetch': {
      const { receivedBytes, totalBytes } = progress;
      if (receivedBytes === undefined || totalBytes === undefined || totalBytes === 0)
        return ['fetch', 'fetch'];
      const percent = Math.floor((100 * receivedBytes) / totalBytes);
      const text = `fetch  ${formatBytes(receivedBytes)} of ${formatBytes(totalBytes)}  ${percent} %`;
      return [text, `fetch ${Math.floor(percent / 10)}`];
    }
    case 'wait':
      return [`waits: ${progress.why ?? 'it is held'}`, `wait ${progress.why ?? ''}`];
    case 'stage':
    case 'activate':
    case 'probation': {
      const { phase, step } = progress;
      return [step === undefined ? phase : `${phase}  ${step}`, phase];
    }
    case 'committed':
      return [progress.phase, progress.phase];
    case 'rolled-back':
    case 'refused':
    case 'superseded':
      return [`${progress.phase} (${progress.code}): ${progress.message}`, progress.phase];
  }
}

function colourOf(progress: Progress): Colour {
  if (!isOutcome(progress)) return 'yellow';
  return progress.phase === 'committed' ? 'green' : 'red';
}

/** @throws Refusal `usage` unless there are either devices or a group */
function parseTargets(names: readonly string[], group: string | undefined): readonly TargetName[] {
  if ((names.length === 0) === (group === undefined))
    throw new Refusal('usage', 'say which devices to command, or --group NAME');
  if (group === undefined) return parseDevices(names);
  if (!isAcName(group)) throw new Refusal('usage', `${JSON.stringify(group)} is not the name of a group`);
  return [targetName({ group })];
}

export function parseDevices(names: readonly string[]): readonly AcName[] {
  return [...new Set(names)].map((name) => {
    if (!isAcName(name)) throw new Refusal('usage', `${JSON.stringify(name)} is not the name of a device`);
    return name;
  });
}

function named(text: string, option: string): { readonly name: AcName; readonly value: string } {
  const [, name = '', value = ''] = /^([^=]*)=(.+)$/s.exec(text) ?? [];
  if (!isAcName(name) || value === '') {
    throw new Refusal(
      'usage',
      `${option} takes NAME=FILE with a name of lower-case words and dashes, not ${JSON.stringify(text)}`,
    );
  }
  return { name, value };
}
