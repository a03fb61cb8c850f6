import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { Refusal, unreadableFile } from '../../../core/refusal/index.ts';
import { FleetDirectory, renewedCertificate, replaceFile } from '../../../operator/fleet/index.ts';
import type { Context } from '../../context.ts';
import type { FleetRenewFlags } from '../../flags.ts';

/** `wherry fleet renew` */
export async function fleetRenew(context: Context, device: string, flags: FleetRenewFlags): Promise<void> {
  const { output, cert: file, ...authority } = flags;
  const fleet = await FleetDirectory.open(context.fleetPath);
  const present = file === undefined ? await fleet.certificate(device) : await readPresent(file);
  if (present === undefined)
    throw new Refusal(
      'not-found',
      `the fleet directory has no certificate of ${device}: give --cert FILE with a copy of /etc/wherry/device.pem of that device`,
    );
  const nowSeconds = Math.floor(context.clock.nowMs() / 1000);
  const pem = Buffer.from(await renewedCertificate(device, present, { ...authority, nowSeconds }));
  await fleet.saveCertificate(device, pem, () => replaceFile(output, pem));
  const expires = new Date(new X509Certificate(pem).validTo).toISOString();
  if (context.json) context.terminal.out(JSON.stringify({ device, file: output, expires }));
  else
    context.terminal.out(
      `${output} is for the key that ${device} has, until ${expires}: "wherry enrol ${output} --renew" there, as root`,
    );
}

async function readPresent(file: string): Promise<string> {
  return await readFile(file, 'utf8').catch((cause: unknown) => {
    throw unreadableFile(`the certificate ${file}`, cause);
  });
}
