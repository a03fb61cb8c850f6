import { access, constants, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { isAcName, type AcName } from '../../../image/appc/index.ts';
import {
  earlierContent,
  FleetDirectory,
  isAddressed,
  noReportOf,
  offerImages,
  previewDeploy,
  makeCommand,
  publishCommand,
  readSecrets,
  readShare,
  requireEnough,
  type Sign,
  signContent,
  targetName,
  type FleetLink,
  type DesiredContent,
  type OfferedImage,
  type TargetName,
} from '../../../operator/fleet/index.ts';
import { asLocalRefusal, Refusal } from '../../../core/refusal/index.ts';
import { contentFrom } from './deploy-content.ts';
import { writeOutput } from '../../../operator/build/index.ts';
import { finish } from './follow-published.ts';
import { followed, noteReaders, noteShare } from './group-members.ts';
import { withLink, type Context } from '../../context.ts';
import type { CommandSigningFlags, DeployFlags, WaitFlags } from '../../flags.ts';
import { signerOf } from '../../signing.ts';

/** `wherry deploy` */
export async function deploy(context: Context, names: readonly string[], flags: DeployFlags): Promise<void> {
  const targets = parseTargets(names, flags.group);
  const share = readShare(flags);
  const signs = signingMeans(flags);
  await requireOneForFile(targets, flags);
  const opened = await FleetDirectory.open(context.fleetPath);
  const { values, saveKey } = await readSecrets(opened, flags.secret ?? []);
  const { content: wanted, toOffer } = await contentFrom(context, opened, flags, values);
  const content = share === undefined ? wanted : { ...wanted, share };
  await withLink(context, async (link, fleet) => {
    // Only the devices know which groups they are in and which versions of these they trust.
    await link.listen(flags.group === undefined ? targets : 'all', (await fleet.devices()).filter(isAcName));
    const before = link.views();
    if (flags.group !== undefined && share !== undefined)
      await noteShare(context, fleet, flags.group, share, before);
    if (flags.dryRun === true) {
      const { fleet: name } = fleet.config;
      const members = before.filter((view) => isAddressed(view, name, flags.group ?? '', share));
      const devices = flags.group === undefined ? targets : members.map(({ device }) => device);
      showPreviews(context, link, devices, content);
      return;
    }
    if (flags.group !== undefined && values.length > 0)
      noteReaders(context, flags.group, fleet.config.groups.get(flags.group) ?? [], before);
    const means = { fleet, link, clock: context.clock, ...signs };
    if (flags.signOnly === true) {
      const offered = { toOffer, saveKey };
      for (const target of targets) await signToFile(context, means, target, content, flags, offered);
      return;
    }
    // Every command is made before an image is offered and the first command is published.
    const commands = [];
    for (const target of targets) commands.push(await makeCommand(means, target, content, values));
    await saveKey();
    const published = [];
    for (const [at, command] of commands.entries())
      published.push(await publishCommand(means, command, at === 0 ? toOffer : []));
    await finish(context, followed(context, means, published, { ...flags, share }, before), flags);
  });
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
      throw new Refusal('not-found', `what ${device} runs is not known: ${noReportOf(device)}`);
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
  flags: WaitFlags & CommandSigningFlags & { readonly to?: number; readonly group?: string },
): Promise<void> {
  const devices = parseTargets(names, flags.group);
  const signs = signingMeans(flags);
  await requireOneForFile(devices, flags);
  await withLink(context, async (link, fleet) => {
    const means = { fleet, link, clock: context.clock, ...signs };
    await link.listen(flags.group === undefined ? devices : 'all', (await fleet.devices()).filter(isAcName));
    const before = link.views();
    // All devices are looked up before the first one is commanded.
    const earlier = [];
    for (const device of devices)
      earlier.push({ device, ...(await earlierContent(means, device, flags.to)) });
    if (flags.signOnly === true) {
      for (const { device, content } of earlier)
        await signToFile(context, means, device, content, flags, { toOffer: [] });
      return;
    }
    const commands = [];
    for (const { device, version, content } of earlier)
      commands.push({ version, command: await makeCommand(means, device, content) });
    const published = [];
    for (const { version, command } of commands) {
      const next = await publishCommand(means, command);
      context.terminal.err(
        `${next.device}: version ${next.version} runs the pods of version ${version} again\n`,
      );
      published.push(next);
    }
    await finish(context, followed(context, means, published, flags, before), flags);
  });
}

function signingMeans(flags: CommandSigningFlags): { readonly sign?: Sign } {
  const sign = signerOf(flags);
  return sign === undefined ? {} : { sign };
}

/** Each device has a command of its own, and a file holds one. Its directory must be there. */
async function requireOneForFile(
  devices: readonly TargetName[],
  { signOnly, output }: CommandSigningFlags,
): Promise<void> {
  if ((signOnly === true) !== (output !== undefined))
    throw new Refusal('usage', '--sign-only and -o FILE go together');
  if (signOnly === true && devices.length !== 1)
    throw new Refusal('usage', 'a file holds the command of one device; sign for one device at a time');
  if (output === undefined) return;
  await access(dirname(output), constants.W_OK).catch((error: unknown) => {
    throw asLocalRefusal(error, output);
  });
}

/** Writes the command, signed once, for others to sign. Its version is in use from then on. */
async function signToFile(
  context: Context,
  means: Parameters<typeof signContent>[0],
  device: TargetName,
  content: DesiredContent,
  { output = '' }: CommandSigningFlags,
  { toOffer, saveKey }: { readonly toOffer: readonly OfferedImage[]; readonly saveKey?: () => Promise<void> },
): Promise<void> {
  const { version, envelope } = await signContent(means, device, content);
  await requireEnough(means, envelope, { threshold: 1 });
  await writeOutput(output, async (path) => {
    await writeFile(path, envelope);
    await offerImages(means.fleet.imagesPath, toOffer, async () => {
      await saveKey?.();
      await means.fleet.claim(device, version, envelope);
      // So that "wherry status" does not publish a command that too few people have signed.
      await means.fleet.recordOutcome(device, version, 'unsent');
    });
  });
  if (context.json) context.terminal.out(JSON.stringify({ device, version, file: output }));
  else
    context.terminal.out(
      `${device}  version ${version}  signed: ${output}; next: wherry countersign ${output}`,
    );
}

/** @throws Refusal `usage` unless there are either devices or a group */
function parseTargets(names: readonly string[], group: string | undefined): readonly TargetName[] {
  if ((names.length === 0) === (group === undefined))
    throw new Refusal('usage', 'name either the devices to command, or a group with --group NAME');
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
