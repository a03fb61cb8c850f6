import { readFile } from 'node:fs/promises';
import path from 'node:path';

import type { Plugin } from 'esbuild';
import { build } from 'esbuild';

import { BuildFailure } from './build-failure.ts';

/**
 * Parts that OpenPGP loads when it needs them: the text before the import → the name of the missing
 * part. wherry decrypts only AES, refuses compressed messages, and refuses keys with a passphrase.
 */
const leftOut: Readonly<Record<string, string>> = {
  'const { legacyCiphers } = await ': 'OpenPGP with ciphers before AES',
  'loadArgonWasmModule || (await ': 'OpenPGP with Argon2',
  'const { default: unbzip2Stream } = await ': 'OpenPGP with bzip2',
};

/**
 * The end of the last part that stays. The parts of {@link leftOut} follow it, up to the exports.
 * The bundler would keep them, because tables of ciphers are filled while the library loads.
 */
const lastPart = 'default: nacl\n});\n';

/** Texts that occur once → their replacements. */
const replaced: Readonly<Record<string, string>> = {
  // A decoder for file names in ZIP archives, which wherry does not use. It is created while the
  // library loads, and a startup snapshot cannot contain it.
  [`typeof TextDecoder != 'undefined' && /*#__PURE__*/ new TextDecoder()`]: 'undefined',
  // The library's own compression, for platforms without one. Compressed messages are refused
  // anyway.
  'new ZlibStreamedConstructor()': refusal('OpenPGP that decompresses by itself'),
  [`('deflate-raw').compressor, Deflate)`]: `('deflate-raw').compressor)`,
  [`('deflate').compressor, Zlib)`]: `('deflate').compressor)`,
  [`('deflate-raw').decompressor, Inflate)`]: `('deflate-raw').decompressor)`,
  [`('deflate').decompressor, Unzlib)`]: `('deflate').decompressor)`,
};

/** The form of the library that was measured; the bundler cannot split its CommonJS form. */
const library = 'openpgp/dist/node/openpgp.mjs';

/** What the programs share of OpenPGP, and the file that names it. */
const shared = 'src/device/jobs/unit/shared-openpgp.ts';

/**
 * OpenPGP for the bundle of the units.
 *
 * The library creates a `require` for Node's modules from the address of its file. A startup
 * snapshot has no such address, and its builder has a `require` of its own. Worker threads, which
 * its compression requires, cannot be in a snapshot.
 */
export function openpgpDiet(nodeModules: string): Plugin {
  return {
    name: 'wherry-openpgp-diet',
    setup(plugin) {
      plugin.onResolve({ filter: /^openpgp$/ }, () => ({ path: path.join(nodeModules, library) }));
      plugin.onResolve({ filter: /^module$/ }, ({ importer }) =>
        importer.endsWith(library) ? { path: 'module', namespace: 'wherry-openpgp-require' } : undefined,
      );
      plugin.onLoad({ filter: /.*/, namespace: 'wherry-openpgp-require' }, () => ({
        contents: `export const createRequire = () => (name) => {
          if (name === 'worker_threads') throw new Error('worker threads are not part of this build of wherry');
          return require(name);
        };`,
        loader: 'js',
      }));
      plugin.onLoad({ filter: new RegExp(`${library.replaceAll('.', '\\.')}$`) }, async ({ path: file }) => ({
        contents: withoutParts(await readFile(file, 'utf8')),
        loader: 'js',
      }));
    },
  };
}

/** @throws BuildFailure when a part is missing: an update loads it in another way */
function withoutParts(source: string): string {
  const names: string[] = [];
  const withoutLoading = Object.entries(leftOut).reduce((text, [before, what]) => {
    const [head, tail] = onlyCut(text, before);
    const [loading, name] =
      /^Promise\.resolve\(\)\.then\(function \(\) \{ return ([\w$]+); \}\)/.exec(tail) ?? [];
    if (loading === undefined || name === undefined) throw gone(before);
    names.push(name);
    return `${head}${before}(async () => ${refusal(what)})()${tail.slice(loading.length)}`;
  }, source);
  const changed = Object.entries(replaced).reduce(
    (text, [from, to]) => onlyCut(text, from).join(to),
    withoutLoading,
  );
  return withoutEnd(changed, names);
}

/** An expression that throws an error with a sentence. */
function refusal(what: string): string {
  return `(() => { throw new Error(${JSON.stringify(`${what} is not part of this build of wherry`)}); })()`;
}

/** @param parts the only texts that may follow the last part that stays */
function withoutEnd(source: string, parts: readonly string[]): string {
  const [head, tail] = onlyCut(source, lastPart);
  const exports = tail.lastIndexOf('\nexport {');
  const end = tail.slice(0, exports);
  const ended = [...end.matchAll(/^var ([\w$]+) = \/\*#__PURE__\*\/(?:Object\.freeze|_mergeNamespaces)\(/gm)];
  const found = ended.map(([, name = '']) => name);
  const same = found.length === parts.length && parts.every((name) => found.includes(name));
  if (exports < 0 || !same) throw gone(`${lastPart.trim()} in front of ${parts.join(', ')}`);
  return `${head}${lastPart}${tail.slice(exports)}`;
}

/** The texts before and after a text that occurs once. */
function onlyCut(source: string, text: string): [string, string] {
  const [head, tail, ...more] = source.split(text);
  if (head === undefined || tail === undefined || more.length > 0) throw gone(text);
  return [head, tail];
}

function gone(text: string): BuildFailure {
  return new BuildFailure(`cross/openpgp-diet.ts names a missing part: ${text}.`);
}

/** The parts of OpenPGP that the bundle of the units exports for other programs. */
export async function sharedOpenpgpNames(root: string): Promise<readonly string[]> {
  const result = await build({
    absWorkingDir: root,
    entryPoints: [shared],
    bundle: true,
    packages: 'external',
    format: 'esm',
    platform: 'node',
    logLevel: 'silent',
    metafile: true,
    write: false,
  });
  return Object.values(result.metafile.outputs).flatMap((output) => output.exports);
}
