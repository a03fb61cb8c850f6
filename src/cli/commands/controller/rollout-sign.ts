import { countersignRollout, type Described } from '../../../controller/drive/index.ts';
import { FleetDirectory, readSecrets } from '../../../operator/fleet/index.ts';
import type { DesiredState } from '../../../wire/trust/index.ts';
import type { Context } from '../../context.ts';
import type { RolloutSignFlags } from '../../flags.ts';
import { signerOf } from '../../signing.ts';
import { LiveLines } from '../../terminal.ts';
import { withStore } from './with-store.ts';

/** How many different contents are shown. Those that undo a rollout may differ for each device. */
const shownAtMost = 20;

/** `wherry rollout sign` */
export async function signRollout(context: Context, id: string, flags: RolloutSignFlags): Promise<void> {
  const { clock, terminal, json } = context;
  const sign = signerOf(flags);
  const isDry = flags.dryRun === true;
  const fleet = await FleetDirectory.open(context.fleetPath);
  const { values } = await readSecrets(fleet, flags.secret ?? []);
  await withStore(fleet, flags, { isNew: false }, async (store) => {
    const lines = new LiveLines(terminal);
    let devices = 0;
    const mayRun = await countersignRollout(
      { fleet, store, clock, values, ...(sign === undefined ? {} : { sign }) },
      id,
      (described) => {
        devices = described.rollout.members.length;
        if (json && isDry) terminal.out(JSON.stringify(describedJson(described)));
        else describe(described, isDry ? (line) => terminal.out(line) : (line) => terminal.err(`${line}\n`));
        return !isDry;
      },
      (done) =>
        lines.update(
          id,
          `${id}  signed for ${done} of ${devices} devices`,
          String(Math.floor((10 * done) / devices)),
        ),
    );
    if (mayRun === undefined) return;
    if (json) terminal.out(JSON.stringify({ id, devices, mayRun }));
    else
      terminal.out(
        `${id}  ${devices} devices  ${mayRun ? `signed by enough; next: wherry rollout watch ${id}` : `signed; more must sign: wherry rollout sign ${id}`}`,
      );
  });
}

function describe({ rollout, contents }: Described, out: (line: string) => void): void {
  const { id, members } = rollout;
  for (const { isUndo, devices, desired } of contents.slice(0, shownAtMost))
    out(`${id}  ${isUndo ? 'to undo it, ' : ''}${devices} of ${members.length} devices ${inWords(desired)}`);
  if (contents.length > shownAtMost)
    out(`${id}  and ${contents.length - shownAtMost} other contents: --dry-run --json has all`);
}

/** `run web (example.com/web version=2.0, sha512-0123456789ab) with db-password` */
function inWords({ pods, images, withdrawn, secrets = [] }: DesiredState): string {
  if (withdrawn === true) return 'go back to what their group runs';
  if (pods.length === 0) return 'run nothing';
  const named = images.map(({ name, labels, id }) => {
    const version = labels.find((label) => label.name === 'version');
    return `${name}${version === undefined ? '' : ` version=${version.value}`}, ${id.slice(0, 19)}`;
  });
  const added = secrets.length === 0 ? '' : ` with ${secrets.map(({ name }) => name).join(', ')}`;
  return `run ${pods.map(({ name }) => name).join(', ')} (${named.join('; ')})${added}`;
}

function describedJson({ rollout, contents }: Described): object {
  return {
    id: rollout.id,
    devices: rollout.members.length,
    contents: contents.map(({ isUndo, devices, desired: { pods, images, policy, withdrawn, secrets } }) => ({
      undo: isUndo,
      devices,
      pods: pods.map(({ name, manifest }) => ({
        name,
        manifest: JSON.parse(Buffer.from(manifest).toString()) as unknown,
      })),
      images: images.map(({ id, name, labels, urls }) => ({ id, name, labels, urls })),
      policy,
      ...(secrets === undefined ? {} : { secrets }),
      ...(withdrawn === true ? { withdrawn } : {}),
    })),
  };
}
