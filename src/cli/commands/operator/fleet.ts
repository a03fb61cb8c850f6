import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { makeDirectory } from '../../../core/files/index.ts';
import { FleetDirectory, newFleet, provisionFiles, type KeyRole } from '../../../operator/fleet/index.ts';
import { Refusal } from '../../../core/refusal/index.ts';
import { formatFingerprint, generateKey } from '../../../wire/trust/sign.ts';
import type { Context } from '../../context.ts';

/** `wherry fleet init` */
export async function initFleet(
  context: Context,
  name: string,
  options: { readonly broker: string; readonly images: string },
): Promise<void> {
  const { fleet, fingerprints } = await createFleet(context, name, options.broker, options.images);
  const { terminal } = context;
  if (context.json) {
    terminal.out(JSON.stringify({ fleet: name, path: fleet.path, fingerprints }));
    return;
  }
  terminal.out(`made the fleet ${name} in ${fleet.path}`);
  for (const [role, fingerprint] of Object.entries(fingerprints)) {
    terminal.out(`  ${role.padEnd(6)} key ${formatFingerprint(fingerprint)}`);
  }
  terminal.out(`keep ${join(fleet.path, 'keys')} secret: anyone who has it can command the fleet`);
}

/** Makes a fleet directory with both keys. */
export async function createFleet(
  context: Context,
  name: string,
  brokerUrl: string,
  imagesUrl: string,
): Promise<{ readonly fleet: FleetDirectory; readonly fingerprints: Record<KeyRole, string> }> {
  const createdSeconds = Math.floor(context.clock.nowMs() / 1000);
  const deploy = await generateKey({ name: `${name} deploy`, createdSeconds });
  const images = await generateKey({ name: `${name} images`, createdSeconds });
  const fleet = await newFleet(context.fleetPath, { fleet: name, brokerUrl, imagesUrl }, { deploy, images });
  return { fleet, fingerprints: { deploy: deploy.fingerprint, images: images.fingerprint } };
}

/** `wherry fleet provision` */
export async function provision(
  context: Context,
  device: string,
  options: { readonly output?: string },
): Promise<void> {
  const nowSeconds = Math.floor(context.clock.nowMs() / 1000);
  const files = await provisionFiles(await FleetDirectory.open(context.fleetPath), device, nowSeconds);
  const { terminal } = context;
  const { output } = options;
  if (output !== undefined) {
    for (const [path, content] of files) {
      const target = join(output, path);
      try {
        await makeDirectory(dirname(target));
        await writeFile(target, content);
      } catch (cause) {
        throw new Refusal('input-invalid', `${target} cannot be written`, { cause });
      }
    }
  }
  if (context.json) {
    terminal.out(
      JSON.stringify({
        device,
        files: Object.fromEntries([...files].map(([path, content]) => [path, textOf(content)])),
      }),
    );
  } else if (output === undefined) {
    for (const [path, content] of files) terminal.out(`# ${path}\n${textOf(content).trimEnd()}\n`);
  } else {
    for (const path of files.keys()) terminal.out(join(output, path));
  }
}

/** A file of CBOR is shown in Base64. */
const textOf = (content: string | Uint8Array): string =>
  typeof content === 'string' ? content : Buffer.from(content).toString('base64');
