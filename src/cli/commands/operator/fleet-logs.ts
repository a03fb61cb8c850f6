import { parseAcName } from '../../../image/appc/index.ts';
import {
  FleetDirectory,
  hearLogs,
  requireEnough,
  signatureOf,
  signLogRequest,
} from '../../../operator/fleet/index.ts';
import { MqttTransport } from '../../../wire/mqtt/index.ts';
import { decodeEnvelope } from '../../../wire/trust/index.ts';
import { withLink, type Context } from '../../context.ts';
import type { FleetLogFlags } from '../../flags.ts';
import { signerOf } from '../../signing.ts';

/** `wherry fleet logs`: what a pod wrote, by way of the broker, from a device that allows it. */
export async function fleetLogs(
  context: Context,
  [device, pod, app]: readonly [device: string, pod: string, app: string | undefined],
  flags: FleetLogFlags,
): Promise<void> {
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
    const signed = await signLogRequest(
      question,
      link.view(device),
      nowSeconds,
      await signatureOf(fleet, signerOf(flags)),
    );
    await requireEnough({ fleet, clock }, signed, {
      advice: 'a request for logs has one signature; read them on the device with "wherry logs"',
    });
    return signed;
  });
  const text = new TextDecoder();
  let started = '';
  const print = (line: string): void => terminal.out(context.json ? JSON.stringify({ line }) : line);
  const show = (bytes: Uint8Array, missing: number): void => {
    if (missing > 0) terminal.err(`note: ${missing} messages of the answer did not arrive\n`);
    const lines = (started + printable(text.decode(bytes, { stream: true }))).split('\n');
    started = lines.pop() ?? '';
    for (const line of lines) print(line);
  };
  const end = await hearLogs(
    { transport: new MqttTransport(await opened.brokerAddress()), clock, fleet: opened.config.fleet },
    { device, message, payload: decodeEnvelope(message).payload },
    flags.for,
    show,
    terminal.stop,
  ).finally(() => {
    // Also of an answer that is cut off, what came is shown.
    if (started !== '') print(started);
  });
  const { end: reason, sentBytes, leftOutBytes } = end;
  if (context.json) terminal.out(JSON.stringify({ end: reason, sentBytes, leftOutBytes }));
  else
    terminal.err(
      `${words[reason]}: ${sentBytes} bytes${leftOutBytes > 0 ? `, ${leftOutBytes} more were left out` : ''}\n`,
    );
}

const words = {
  complete: 'that is all',
  deadline: 'the time is over (--for)',
  limit: 'the limit is reached (--limit)',
  stopped: 'ended',
  superseded: 'another request for logs of this device came',
  refused: 'refused',
  failed: 'failed',
} as const;

/** What an app wrote must not command a terminal. */
function printable(text: string): string {
  return text.replaceAll(/[^\P{C}\n\t]/gu, '\uFFFD');
}
