import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { prepareRollout } from '../../../controller/drive/index.ts';
import { parseStages } from '../../../controller/rollout/index.ts';
import { isAcName, type AcName } from '../../../image/appc/index.ts';
import { Refusal, unreadableFile } from '../../../core/refusal/index.ts';
import { FleetDirectory, type FleetLink, offerImages, readSecrets } from '../../../operator/fleet/index.ts';
import { withLink, type Context } from '../../context.ts';
import type { RolloutStartFlags } from '../../flags.ts';
import { signerOf } from '../../signing.ts';
import { LiveLines } from '../../terminal.ts';
import { parseDevices } from '../operator/deploy.ts';
import { contentFrom } from '../operator/deploy-content.ts';
import { carryOut } from './rollout-watch.ts';
import { requireDatabase, requireNewRollout, withStore } from './with-store.ts';

/** The stages of a rollout without `--stage`. */
const defaultStages = ['1', '10%', 'all'];

/** `wherry rollout start` */
export async function startRollout(
  context: Context,
  names: readonly string[],
  flags: RolloutStartFlags,
): Promise<void> {
  const id = flags.id ?? newId(context.clock.nowMs());
  if (!isAcName(id) || id.length > 64)
    throw new Refusal(
      'usage',
      `--id takes lower-case words with dashes, at most 64 characters, not ${JSON.stringify(id)}`,
    );
  const stages = parseStages(flags.stage ?? defaultStages);
  requireDatabase(flags);
  const named = await namedDevices(names, flags);
  const sign = signerOf(flags);
  const opened = await FleetDirectory.open(context.fleetPath);
  requireTimes(flags, opened.config.deploy.validDays);
  // What is refused here needs neither the broker nor an image.
  await requireNewRollout(opened, flags, id, named ?? []);
  const { values, saveKey } = await readSecrets(opened, flags.secret ?? []);
  const { content, toOffer } = await contentFrom(context, opened, flags, values);
  await withLink(context, async (link, fleet) => {
    const devices = named ?? (await allDevices(fleet, link));
    if (named !== undefined) await link.listen(devices);
    await withStore(fleet, flags, { isNew: true }, async (store) => {
      await store.requireNew(id, devices);
      const means = { fleet, link, clock: context.clock, ...(sign === undefined ? {} : { sign }) };
      const { soak, success, errors, answerWithin, approve, undo } = flags;
      const lines = new LiveLines(context.terminal);
      const { rollout, commands } = await prepareRollout(
        means,
        {
          id,
          devices,
          content,
          values,
          stages,
          rules: {
            soakSeconds: soak,
            successPercent: success,
            errorPercent: errors,
            ...(answerWithin === undefined ? {} : { answerSeconds: answerWithin }),
            approval: approve === true,
          },
          canUndo: undo,
          othersSign: flags.signOnly === true,
        },
        (done) =>
          lines.update(
            id,
            `${id}  signed for ${done} of ${devices.length} devices`,
            String(Math.floor((10 * done) / devices.length)),
          ),
      );
      await offerImages(fleet.imagesPath, toOffer, async () => {
        await saveKey();
        await store.create(rollout, commands);
      });
      if (flags.signOnly === true) {
        if (context.json)
          context.terminal.out(JSON.stringify({ id, devices: devices.length, phase: rollout.phase }));
        else
          context.terminal.out(
            `${id}  ${devices.length} devices  signed once; next: wherry rollout sign ${id}`,
          );
        return;
      }
      if (flags.wait) {
        await carryOut(context, { fleet, link, store, clock: context.clock }, id);
        return;
      }
      if (context.json) context.terminal.out(JSON.stringify({ id, devices: devices.length }));
      else context.terminal.out(`${id}  ${devices.length} devices  stored; next: wherry rollout watch ${id}`);
    });
  });
}

/**
 * A command that has expired is not sent, so no rollout is longer than that. @throws Refusal
 * `usage`
 */
function requireTimes({ soak, answerWithin }: RolloutStartFlags, validDays: number): void {
  if (answerWithin === 0) throw new Refusal('usage', '--answer-within takes at least a second');
  for (const [option, seconds] of [
    ['--soak', soak],
    ['--answer-within', answerWithin ?? 0],
  ] as const) {
    if (seconds < validDays * 86_400) continue;
    const advice = `commands of this fleet are valid for ${validDays} days (deploy.valid_days)`;
    throw new Refusal('usage', `${option} is too long: ${advice}`);
  }
}

/** The devices that the command line names; undefined with --all. */
async function namedDevices(
  names: readonly string[],
  { all, devicesFrom }: RolloutStartFlags,
): Promise<readonly AcName[] | undefined> {
  const given = [names.length > 0, all === true, devicesFrom !== undefined].filter(Boolean).length;
  if (given !== 1) throw new Refusal('usage', 'name the devices, or give one of --all and --devices-from');
  if (all === true) return undefined;
  if (devicesFrom === undefined) return parseDevices(names);
  const text = await readFile(devicesFrom, 'utf8').catch((cause: unknown) => {
    throw unreadableFile(`the list of devices ${devicesFrom}`, cause);
  });
  const lines = text.split('\n').map((line) => line.trim());
  const devices = parseDevices(lines.filter((line) => line !== '' && !line.startsWith('#')));
  if (devices.length === 0) throw new Refusal('input-invalid', `${devicesFrom} names no device`);
  return devices;
}

/** Every device that reported to the broker or was commanded from here. */
async function allDevices(fleet: FleetDirectory, link: FleetLink): Promise<readonly AcName[]> {
  const known = (await fleet.devices()).filter(isAcName);
  await link.listen('all', known);
  const devices = [...new Set([...known, ...link.views().map(({ device }) => device)])]
    .filter(isAcName)
    .sort();
  if (devices.length > 0) return devices;
  throw new Refusal(
    'not-found',
    'this broker returned no report of any device; RabbitMQ returns only those of named devices: list them with --devices-from FILE',
  );
}

function newId(nowMs: number): string {
  return `${new Date(nowMs).toISOString().slice(0, 10)}-${randomBytes(2).toString('hex')}`;
}
