import { parseAcName } from '../../../image/appc/index.ts';
import { Refusal } from '../../../core/refusal/index.ts';
import {
  type DeviceView,
  FleetDirectory,
  replaceFile,
  requireEnough,
  signatureOf,
  signLogRequest,
} from '../../../operator/fleet/index.ts';
import { withLink, type Context } from '../../context.ts';
import type { FleetLogFlags } from '../../flags.ts';
import { signerOf } from '../../signing.ts';
import { hearAndPrint } from './hear-and-print.ts';

/** `wherry fleet logs`: gets what a pod wrote over the broker, from a device that allows it. */
export async function fleetLogs(
  context: Context,
  [device, pod, app]: readonly [device: string, pod: string, app: string | undefined],
  flags: FleetLogFlags,
): Promise<void> {
  if ((flags.signOnly === true) !== (flags.output !== undefined))
    throw new Refusal('usage', '--sign-only and -o FILE go together');
  const { terminal, clock } = context;
  const nowSeconds = Math.floor(clock.nowMs() / 1000);
  const opened = await FleetDirectory.open(context.fleetPath);
  const question = {
    ...{ fleet: opened.config.fleet, device: parseAcName(device, 'usage'), pod: parseAcName(pod, 'usage') },
    ...(app === undefined ? {} : { app: parseAcName(app, 'usage') }),
    ...(flags.since === undefined ? {} : { since: nowSeconds - flags.since }),
    ...(flags.lines === undefined ? {} : { lines: flags.lines }),
    ...(flags.follow === undefined ? {} : { follow: flags.follow }),
    ...{ limitBytes: flags.limit, seconds: flags.for },
  };
  const message = await withLink(context, async (link, fleet) => {
    await link.listen([device]);
    notePod(context, link.view(device), pod, app);
    const signed = await signLogRequest(
      question,
      link.view(device),
      nowSeconds,
      await signatureOf(fleet, signerOf(flags)),
    );
    await requireEnough({ fleet, clock }, signed, flags.signOnly === true ? { threshold: 1 } : {});
    return signed;
  });
  if (flags.signOnly === true) {
    const { output = '' } = flags;
    await replaceFile(output, message);
    if (context.json) terminal.out(JSON.stringify({ device, pod, file: output }));
    else
      terminal.out(
        `${device}  ${pod}  signed: ${output}; next, within ${flags.for} s: wherry countersign ${output}`,
      );
    return;
  }
  await hearAndPrint(context, opened, { device, message, seconds: flags.for });
}

/** A name without a pod is not refused: its journal may have what an earlier pod wrote. */
function notePod(
  { terminal }: Context,
  { device, report }: Pick<DeviceView, 'device' | 'report'>,
  pod: string,
  app: string | undefined,
): void {
  if (report === undefined) return;
  const found = report.pods.find(({ name }) => name === pod);
  const names = (all: readonly { readonly name: string }[]) =>
    all.map(({ name }) => name).join(', ') || 'none';
  if (found === undefined)
    terminal.err(`note: ${device} reports no pod ${pod}; its pods: ${names(report.pods)}\n`);
  else if (app !== undefined && !found.apps.some(({ name }) => name === app))
    terminal.err(`note: the pod ${pod} of ${device} has no app ${app}; its apps: ${names(found.apps)}\n`);
}
