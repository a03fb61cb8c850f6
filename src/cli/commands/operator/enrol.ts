import { Refusal } from '../../../core/refusal/index.ts';
import { enrolmentBundle, FleetDirectory, replaceFile } from '../../../operator/fleet/index.ts';
import { encodeBundle } from '../../../wire/enrolment/index.ts';
import type { Context } from '../../context.ts';
import type { FleetEnrolFlags } from '../../flags.ts';
import { checkBundle, enrolFrom } from '../device/enrol.ts';

/** `wherry fleet enrol` */
export async function fleetEnrol(context: Context, device: string, flags: FleetEnrolFlags): Promise<void> {
  const { output, root } = flags;
  if ((output === undefined) === (root === undefined))
    throw new Refusal('usage', 'give -o FILE for a bundle, or --root DIR for the tree of an image');
  const nowSeconds = Math.floor(context.clock.nowMs() / 1000);
  const { group, label, ...credentials } = flags;
  const bundle = await enrolmentBundle(
    await FleetDirectory.open(context.fleetPath),
    device,
    {
      ...credentials,
      ...(group === undefined ? {} : { groups: group }),
      ...(label === undefined ? {} : { labels: label }),
    },
    nowSeconds,
  );
  if (root !== undefined) {
    await enrolFrom(context, bundle, { root, key: flags.key });
    return;
  }
  if (output === undefined) return;
  await checkBundle(context, bundle);
  await replaceFile(output, encodeBundle(bundle), 0o600);
  if (context.json) context.terminal.out(JSON.stringify({ device, file: output }));
  else
    context.terminal.out(
      `${output} makes one machine ${device}: "wherry enrol ${output}" there, as root; delete it afterwards, it may hold credentials`,
    );
}
