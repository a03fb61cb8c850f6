import { Refusal } from '../../../core/refusal/index.ts';
import {
  certificateNotes,
  enrolmentBundle,
  FleetDirectory,
  replaceFile,
  rootChain,
} from '../../../operator/fleet/index.ts';
import { encodeBundle, type EnrolmentBundle } from '../../../wire/enrolment/index.ts';
import type { Context } from '../../context.ts';
import type { FleetEnrolFlags } from '../../flags.ts';
import { checkBundle, enrolFrom } from '../device/enrol.ts';
import { enrolledRootNote } from './root-notes.ts';

/** `wherry fleet enrol` */
export async function fleetEnrol(context: Context, device: string, flags: FleetEnrolFlags): Promise<void> {
  const { output, root } = flags;
  if ((output === undefined) === (root === undefined))
    throw new Refusal('usage', 'give -o FILE for a bundle, or --root DIR for the tree of an image');
  const nowSeconds = Math.floor(context.clock.nowMs() / 1000);
  const { group, label, ...credentials } = flags;
  const fleet = await FleetDirectory.open(context.fleetPath);
  const bundle = await enrolmentBundle(
    fleet,
    device,
    {
      ...credentials,
      ...(group === undefined ? {} : { groups: group }),
      ...(label === undefined ? {} : { labels: label }),
    },
    nowSeconds,
  );
  const rootNote = enrolledRootNote(await rootChain(fleet, nowSeconds), nowSeconds);
  if (rootNote !== undefined) context.terminal.err(`note: ${rootNote}\n`);
  const cert = bundle.files.get('/etc/wherry/device.pem');
  // openssl rounds to a second, and it was started a moment ago.
  const until = flags.caCert === undefined ? 0 : nowSeconds + flags.days * 86_400 - 3600;
  if (cert !== undefined)
    for (const note of certificateNotes(device, cert, until)) context.terminal.err(`note: ${note}\n`);
  if (root !== undefined) {
    await keepCertificate(fleet, bundle, () => enrolFrom(context, bundle, { root, key: flags.key }));
    return;
  }
  if (output === undefined) return;
  await checkBundle(context, bundle);
  await keepCertificate(fleet, bundle, () => replaceFile(output, encodeBundle(bundle), 0o600));
  if (context.json) context.terminal.out(JSON.stringify({ device, file: output }));
  else
    context.terminal.out(
      `${output} enrols one machine as ${device}: run "wherry enrol ${output}" there, as root; delete it afterwards, it may hold credentials`,
    );
}

/** The certificate is public. `wherry fleet renew` makes the next one for the same key from it. */
async function keepCertificate(
  fleet: FleetDirectory,
  { device, files }: EnrolmentBundle,
  hand: () => Promise<void>,
): Promise<void> {
  const cert = files.get('/etc/wherry/device.pem');
  await (cert === undefined ? hand() : fleet.saveCertificate(device, cert, hand));
}
