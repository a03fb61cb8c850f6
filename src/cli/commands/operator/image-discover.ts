import { readFile, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inDirectory } from '../../../core/files/index.ts';
import { withScratch } from '../../../operator/build/index.ts';
import { defaultArchiveLimits } from '../../../image/tar/index.ts';
import { labelValue, parseNameString, sanitizeAcName, type ImageName } from '../../../image/appc/index.ts';
import {
  Credentials,
  fetchSmall,
  openHttpClient,
  proxiesOfEnvironment,
  type HttpClient,
} from '../../../wire/http/index.ts';
import { parseCredentials } from '../../../wire/http/credentials-file.ts';
import {
  discover,
  type Discovered,
  fetchImage,
  type FetchedImage,
} from '../../../operator/discovery/index.ts';
import { FleetDirectory, readImageFile, type OfferedImage } from '../../../operator/fleet/index.ts';
import { systemRandom } from '../../../core/ports/index.ts';
import { Refusal, unreadableFile } from '../../../core/refusal/index.ts';
import { formatFingerprint } from '../../../wire/trust/sign.ts';
import type { Context } from '../../context.ts';
import { formatBytes } from '../../format.ts';
import { readFleetKeys, readPublicKeys } from '../../key-files.ts';
import type { DiscoverFlags, FetchFlags } from '../../flags.ts';
import { LiveLines } from '../../terminal.ts';

/** Bytes of one file of public keys. */
const maxKeyBytes = 256 * 1024;

/** `wherry image discover` */
export async function discoverImage(context: Context, text: string, flags: DiscoverFlags): Promise<void> {
  const image = named(text);
  const found = await withHttp(context, flags, (http) =>
    discover(image, { http, clock: context.clock, allowHttp: flags.http === true }),
  );
  const { terminal } = context;
  if (context.json) terminal.out(JSON.stringify(found));
  else {
    for (const { aci, asc } of found.endpoints) terminal.out(`image      ${aci}\nsignature  ${asc}`);
    for (const key of found.keys) terminal.out(`keys       ${key}`);
  }
  if (found.endpoints.length === 0 && found.keys.length === 0) throw notFound(image, found);
}

/** `wherry image fetch` */
export async function fetchImages(
  context: Context,
  names: readonly string[],
  flags: FetchFlags,
): Promise<void> {
  const keys = await trustedKeys(context, flags.key);
  const fetched: object[] = [];
  for (const image of names.map(named)) {
    const output = join(flags.output, fileNameOf(image));
    const { summary, url, signedBy } = await inDirectory(flags.output, () =>
      fetchByName(context, image, keys, output, flags),
    );
    fetched.push({ file: output, id: summary.imageId, url, signedBy });
    if (!context.json)
      context.terminal.out(`${output}: ${summary.imageId}, signed by ${formatFingerprint(signedBy)}`);
  }
  if (context.json) context.terminal.out(JSON.stringify(fetched));
}

/**
 * An image that is deployed by its name: fetched once, to know and verify it; the device downloads
 * it from the same address.
 * @throws Refusal `not-found` for what is neither a file nor a name
 */
export async function findByName(
  context: Context,
  fleet: FleetDirectory,
  text: string,
  flags: DiscoverFlags & { readonly key?: readonly string[] },
): Promise<{ readonly image: OfferedImage; readonly urls: readonly string[] }> {
  let image: ImageName;
  try {
    image = parseNameString(text);
  } catch (cause) {
    throw new Refusal('not-found', `there is no image ${text}, and it is not a name that can be discovered`, {
      cause,
    });
  }
  if (!image.name.includes('.') || /\.aci$/.test(text))
    throw new Refusal('not-found', `there is no image ${text}`);
  return await withScratch(join(tmpdir(), 'image.aci'), async (scratch) => {
    const output = join(scratch, 'image.aci');
    const { url } = await fetchByName(
      context,
      image,
      await trustedKeys(context, flags.key, fleet),
      output,
      flags,
    );
    return { image: await readImageFile(output), urls: [url] };
  });
}

/**
 * The keys that an image's site offers (`ac-discovery-pubkeys`), for an operator to look at. Only
 * over https, or over http with `--http`.
 * @throws Refusal `not-found`, `download-failed`
 */
export async function discoverKeys(
  context: Context,
  text: string,
  flags: DiscoverFlags,
): Promise<{ readonly file: string; readonly armored: string }[]> {
  const image = named(text);
  const { clock } = context;
  return await withHttp(context, flags, async (http) => {
    const allowHttp = flags.http === true;
    const found = await discover(image, { http, clock, allowHttp });
    const { keys } = found;
    const addresses = keys.filter(
      (key) => key.startsWith('https:') || (allowHttp && key.startsWith('http:')),
    );
    if (addresses.length === 0) throw notFound(image, found);
    const ports = { http, clock, random: systemRandom };
    return await Promise.all(
      addresses.map(async (file) => {
        const bytes = await fetchSmall(ports, [file], maxKeyBytes);
        if (bytes === undefined) throw new Refusal('not-found', `there is no key at ${file}`);
        return { file, armored: bytes.toString('latin1') };
      }),
    );
  });
}

async function fetchByName(
  context: Context,
  image: ImageName,
  keys: readonly string[],
  output: string,
  flags: DiscoverFlags,
): Promise<FetchedImage> {
  const lines = new LiveLines(context.terminal);
  const { clock } = context;
  return await withHttp(context, flags, async (http) => {
    const found = await discover(image, { http, clock, allowHttp: flags.http === true });
    const { endpoints } = found;
    if (endpoints.length === 0) throw notFound(image, found);
    return await fetchImage({
      ports: { http, clock, random: systemRandom },
      image,
      endpoints,
      keys,
      output,
      maxBytes: defaultArchiveLimits.maxTarBytes,
      onProgress: (received, total) => {
        const of = total === undefined ? '' : ` of ${formatBytes(total)}`;
        lines.update(image.name, `${image.name}  ${formatBytes(received)}${of}`, 'fetching');
      },
    });
  });
}

async function withHttp<T>(
  context: Context,
  flags: DiscoverFlags,
  work: (http: HttpClient) => Promise<T>,
): Promise<T> {
  const places = new Map((flags.connectTo ?? []).map(connectTo));
  const proxyFor = await proxiesOfEnvironment();
  const http = openHttpClient({
    clock: context.clock,
    signal: context.terminal.stop,
    ...(flags.ca === undefined ? {} : { ca: await readText(flags.ca, 'certificates') }),
    credentials:
      flags.auth === undefined
        ? new Credentials('a file that --auth names')
        : parseCredentials(await readSecret(flags.auth), flags.auth),
    ...(proxyFor === undefined ? {} : { proxyFor }),
    connectTo: (host, port) => places.get(`${host}:${port}`),
  });
  try {
    return await work(http);
  } finally {
    http.close();
  }
}

function connectTo(text: string): [string, { host: string; port: number }] {
  const [, from, host, port] = /^([^:]+:\d+):([^:]+):(\d+)$/.exec(text) ?? [];
  if (from === undefined || host === undefined) {
    throw new Refusal('usage', `--connect-to takes HOST:PORT:OTHERHOST:PORT, not ${JSON.stringify(text)}`);
  }
  return [from, { host, port: Number(port) }];
}

/** Images of a fleet are for Linux unless they say otherwise. */
function named(text: string): ImageName {
  return parseNameString(text, 'usage');
}

function fileNameOf({ name, labels }: ImageName): string {
  const parts = ['version', 'os', 'arch'].flatMap((label) => labelValue(labels, label) ?? []);
  const text = [sanitizeAcName(name) ?? 'image', ...parts].join('-');
  return `${text.replace(/[^\w.-]/g, '_')}.aci`;
}

function notFound(image: ImageName, { attempts, isUnsure }: Discovered): Refusal {
  const asked = attempts.length === 0 ? 'no template fits its labels' : attempts.join('; ');
  if (isUnsure) return new Refusal('download-failed', `${image.name}: its address is not known: ${asked}`);
  return new Refusal('not-found', `${image.name} was not found by discovery: ${asked}`);
}

async function trustedKeys(
  context: Context,
  files: readonly string[] | undefined,
  fleet?: FleetDirectory,
): Promise<readonly string[]> {
  if (files !== undefined) return await readPublicKeys(files);
  return await readFleetKeys(fleet ?? (await FleetDirectory.open(context.fleetPath)), 'images');
}

async function readText(file: string, what: string): Promise<string> {
  return await readFile(file, 'utf8').catch((cause: unknown) => {
    throw unreadableFile(`the ${what} ${file}`, cause);
  });
}

/** @throws Refusal `not-found`, `input-invalid` for a file that others may read */
export async function readSecret(file: string): Promise<string> {
  const text = await readText(file, 'credentials');
  if (((await stat(file)).mode & 0o077) !== 0) {
    throw new Refusal(
      'input-invalid',
      `others may read ${file}; make it yours alone with "chmod 600 ${file}"`,
    );
  }
  return text;
}
