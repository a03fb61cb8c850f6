import { fromOci, parsePlatform, toOci } from '../../oci/index.ts';

import { Refusal } from '../../refusal/index.ts';
import type { Context } from '../context.ts';
import { formatBytes } from '../format.ts';
import type { FromOciFlags } from '../flags.ts';
import { latest, pair, tellBuilt } from './image-build.ts';
import { readSecret } from './image-discover.ts';

/** `wherry image from-oci` */
export async function imageFromOci(context: Context, source: string, flags: FromOciFlags): Promise<void> {
  const { terminal } = context;
  const built = await fromOci({
    source,
    output: flags.output,
    compression: flags.compression,
    ...(flags.name === undefined ? {} : { name: flags.name }),
    ...(flags.platform === undefined ? {} : { platform: parsePlatform(flags.platform) }),
    labels: (flags.label ?? []).map((text) => pair(text, '--label')),
    registry: {
      plainHttp: flags.plainHttp === true,
      ...(flags.credentials === undefined ? {} : { credentials: await readCredentials(flags.credentials) }),
    },
    ...latest(),
    onLayer: ({ number, of, sizeBytes }) => {
      if (!context.json) terminal.err(`layer ${number} of ${of}, ${formatBytes(sizeBytes)}\n`);
    },
  });
  for (const warning of built.warnings) terminal.err(`note: ${warning}\n`);
  await tellBuilt(context, flags, built, { name: built.manifest.name, warnings: built.warnings });
}

/** `wherry image to-oci` */
export async function imageToOci(
  context: Context,
  file: string,
  flags: { readonly output: string; readonly tag?: string },
): Promise<void> {
  const written = await toOci({ file, ...flags });
  if (context.json) context.terminal.out(JSON.stringify({ output: flags.output, ...written }));
  else context.terminal.out(`${flags.output}: ${written.tag}, ${written.digest}`);
}

/** Not on the command line, where others see it. */
async function readCredentials(file: string): Promise<{ user: string; password: string }> {
  const text = await readSecret(file);
  const [, user, password] = /^([^:\n]+):([^\n]+)\n?$/.exec(text) ?? [];
  if (user === undefined || password === undefined) {
    throw new Refusal('input-invalid', `${file} does not hold one line USER:PASSWORD`);
  }
  return { user, password };
}
