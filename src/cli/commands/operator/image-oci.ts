import { stat } from 'node:fs/promises';
import { Credentials, openHttpClient, proxiesOfEnvironment } from '../../../wire/http/index.ts';
import {
  type ConvertedImage,
  fromOci,
  parsePlatform,
  type PlacedLayer,
  toOci,
} from '../../../operator/oci/index.ts';
import { parseQuantity, wholeUnits } from '../../../image/appc/index.ts';
import { Refusal } from '../../../core/refusal/index.ts';
import type { Context } from '../../context.ts';
import { formatBytes } from '../../format.ts';
import type { FromOciFlags } from '../../flags.ts';
import { showingWork } from '../../showing-work.ts';
import { latest, pair, tellBuilt } from './image-build.ts';
import { readSecret } from './image-discover.ts';

/** `wherry image from-oci` */
export async function imageFromOci(context: Context, source: string, flags: FromOciFlags): Promise<void> {
  const { terminal } = context;
  const built = await showingWork(context, `converting ${source}`, (shown) =>
    converted(shown, source, flags),
  );
  for (const warning of built.warnings) terminal.err(`note: ${warning}\n`);
  const { layers, warnings } = built;
  if (!context.json) for (const layer of layers) terminal.out(describeLayer(layer));
  const unsigned = [];
  for (const { path, wasThere } of layers) if (!wasThere || !(await isSigned(path))) unsigned.push(path);
  const more = { name: built.manifest.name, warnings, layers: layers.map(layerDocument) };
  await tellBuilt(context, flags, built, more, unsigned);
}

async function converted(context: Context, source: string, flags: FromOciFlags): Promise<ConvertedImage> {
  const { clock, terminal } = context;
  const proxyFor = await proxiesOfEnvironment();
  const http = openHttpClient({
    clock,
    signal: terminal.stop,
    credentials: new Credentials(),
    ...(proxyFor === undefined ? {} : { proxyFor }),
  });
  try {
    return await fromOci({
      source,
      output: flags.output,
      compression: flags.compression,
      ...(flags.name === undefined ? {} : { name: flags.name }),
      ...(flags.platform === undefined ? {} : { platform: parsePlatform(flags.platform) }),
      labels: (flags.label ?? []).map((text) => pair(text, '--label')),
      ...(flags.layers === undefined ? {} : { layers: flags.layers }),
      registry: {
        plainHttp: flags.plainHttp === true,
        ...{ clock, http },
        onWait: (delayMs) => terminal.err(`the registry asks to wait ${Math.ceil(delayMs / 1000)} s\n`),
        ...(flags.credentials === undefined ? {} : { credentials: await readCredentials(flags.credentials) }),
      },
      ...(flags.maxUnpacked === undefined ? {} : { maxUnpackedBytes: bytesOf(flags.maxUnpacked) }),
      ...latest(),
      onLayer: ({ number, of, sizeBytes }) => {
        if (!context.json) terminal.err(`layer ${number} of ${of}, ${formatBytes(sizeBytes)}\n`);
      },
    });
  } finally {
    http.close();
  }
}

/** @throws Refusal `usage` */
function bytesOf(quantity: string): number {
  const bytes = Number(wholeUnits(parseQuantity(quantity)));
  if (Number.isSafeInteger(bytes) && bytes > 0) return bytes;
  throw new Refusal('usage', `--max-unpacked takes a number of bytes such as 16Gi, not ${quantity}`);
}

function describeLayer({ path, sizeBytes, wasThere }: PlacedLayer): string {
  return `${path}: ${formatBytes(sizeBytes)}${wasThere ? ', was there before' : ''}`;
}

function layerDocument({ path, manifest, imageId, sizeBytes, tarSizeBytes, wasThere }: PlacedLayer): object {
  return { file: path, name: manifest.name, id: imageId, sizeBytes, tarSizeBytes, wasThere };
}

async function isSigned(path: string): Promise<boolean> {
  return await stat(`${path}.asc`).then(
    () => true,
    () => false,
  );
}

/** `wherry image to-oci` */
export async function imageToOci(
  context: Context,
  file: string,
  flags: { readonly output: string; readonly tag?: string },
): Promise<void> {
  const written = await showingWork(context, `converting ${file}`, () => toOci({ file, ...flags }));
  for (const warning of written.warnings) context.terminal.err(`note: ${warning}\n`);
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
