import { type FleetDirectory, hearLogs } from '../../../operator/fleet/index.ts';
import { MqttTransport } from '../../../wire/mqtt/index.ts';
import { decodeEnvelope } from '../../../wire/trust/index.ts';
import type { Context } from '../../context.ts';

/**
 * Publishes a signed request for logs and prints the answer as it arrives.
 * @param request `seconds`: how long the device may answer
 */
export async function hearAndPrint(
  context: Context,
  fleet: FleetDirectory,
  request: { readonly device: string; readonly message: Uint8Array; readonly seconds: number },
): Promise<void> {
  const { terminal, clock } = context;
  const { device, message, seconds } = request;
  const text = new TextDecoder();
  let started = '';
  const print = (bare: string): void => {
    const line = printable(bare);
    terminal.out(context.json ? JSON.stringify({ line }) : line);
  };
  const show = (bytes: Uint8Array, missing: number): void => {
    if (missing > 0) terminal.err(`note: ${missing} messages of the answer did not arrive\n`);
    const lines = (started + text.decode(bytes, { stream: true })).split('\n');
    started = lines.pop() ?? '';
    for (const line of lines) print(line);
  };
  const end = await hearLogs(
    { transport: new MqttTransport(await fleet.brokerAddress()), clock, fleet: fleet.config.fleet },
    { device, message, payload: decodeEnvelope(message).payload },
    seconds,
    show,
    terminal.stop,
  ).finally(() => {
    // Shows what arrived, also of an answer that is cut off.
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

/** A line without its colours. The output of an app must not control the terminal. */
function printable(line: string): string {
  return line.replaceAll(/\u001b\[[0-9;]*m/g, '').replaceAll(/[^\P{C}\t]/gu, '\uFFFD');
}
