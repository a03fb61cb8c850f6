import { access } from 'node:fs/promises';
import path from 'node:path';

import type { Metafile, Plugin } from 'esbuild';
import { build, transform } from 'esbuild';

import { BuildFailure } from './build-failure.ts';
import { dependencyDiet, staleDiet } from './dependency-diet.ts';
import { lateModules } from './late-modules.ts';
import { sharedOpenpgpNames } from './openpgp-diet.ts';

/**
 * The programs of the package: name of the file in /usr/lib/wherry (without .js) → source below the
 * project's root.
 */
export const entryPoints: Readonly<Record<string, string>> = {
  wherryd: 'src/device/agent/wherryd.ts',
  wherry: 'src/cli/wherry.ts',
  'wherry-api': 'src/device/local-api/wherry-api.ts',
};

export interface BundleOptions {
  /** Absolute path of the directory that the entry points are relative to. */
  readonly root: string;
  /** Absolute path of the installed dependencies. */
  readonly nodeModules: string;
  readonly entries: Readonly<Record<string, string>>;
  /** The value of `process.env.WHERRY_VERSION` in the bundle. */
  readonly version: string;
}

export interface Bundle {
  /** File name → bytes, sorted by name. */
  readonly files: ReadonlyMap<string, Uint8Array>;
  readonly metafile: Metafile;
}

/**
 * The most characters of a line. Node prints the whole source line of an uncaught error into the
 * journal. Shorter lines make the package larger, by 15 KB with 160.
 */
export const lineLimit = 800;

/** The code that a program loads before its first line runs. */
export interface StaticClosure {
  readonly sizeBytes: number;
  /** The npm packages with code in it, sorted. */
  readonly packages: readonly string[];
}

/**
 * Bundles the programs as CommonJS files with shared chunks. Code reached only through `import()`
 * gets chunks of its own, so a process pays for it when it uses it.
 *
 * esbuild splits only ES modules. Each of them is translated afterwards, because Node's loader for
 * ES modules costs wherryd 1 MB of memory (docs/decisions/memory.md).
 *
 * @throws BuildFailure when an entry point is missing or does not compile, or the diet of
 *   dependencies is out of date
 */
export async function bundle(options: BundleOptions): Promise<Bundle> {
  for (const source of Object.values(options.entries)) {
    await access(path.join(options.root, source)).catch((cause: unknown) => {
      throw new BuildFailure(`The program ${source} does not exist.`, { cause });
    });
  }
  const stale = staleDiet(options.nodeModules);
  if (stale.length > 0) {
    throw new BuildFailure(`cross/dependency-diet.ts names missing modules: ${stale.join(', ')}.`);
  }
  const result = await build({
    absWorkingDir: options.root,
    entryPoints: { ...options.entries },
    outdir: path.join(options.root, 'build'),
    entryNames: '[name]',
    chunkNames: 'chunk-[hash]',
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    minify: true,
    legalComments: 'none', // the licences are in /usr/share/doc/wherry/copyright
    define: {
      'process.env.WHERRY_VERSION': JSON.stringify(options.version),
      // node-cron searches for the file of its background tasks, which wherry does not use.
      'import.meta.url': JSON.stringify('file:///usr/lib/wherry/'),
    },
    nodePaths: [options.nodeModules],
    plugins: [lateModules(), sharedOpenpgp(options.root), dependencyDiet()],
    logLevel: 'silent',
    metafile: true,
    write: false,
  }).catch((cause: unknown) => {
    throw new BuildFailure(`The bundle does not compile: ${String(cause)}`, { cause });
  });
  const undefinedNames = result.warnings.filter(({ id }) => id === 'import-is-undefined');
  if (undefinedNames.length > 0) {
    const [{ text } = { text: '' }] = undefinedNames;
    throw new BuildFailure(
      `The bundle does not compile: ${text}. shared-openpgp.ts names the shared parts of OpenPGP.`,
    );
  }
  const files = await Promise.all(
    result.outputFiles.map(async (file) => [path.basename(file.path), await asCommonJs(file.text)] as const),
  );
  return {
    files: new Map(files.sort(([a], [b]) => (a < b ? -1 : 1))),
    metafile: result.metafile,
  };
}

/** Translates one ES module of the bundle. */
async function asCommonJs(text: string): Promise<Uint8Array> {
  const { code } = await transform(text, {
    format: 'cjs',
    platform: 'node',
    target: 'node20',
    minify: true,
    lineLimit,
    // Becomes a late require(): chunks are CommonJS, too.
    supported: { 'dynamic-import': false },
    logLevel: 'silent',
  }).catch((cause: unknown) => {
    throw new BuildFailure(`The bundle cannot be translated: ${String(cause)}`, { cause });
  });
  return Buffer.from(code);
}

/**
 * OpenPGP is in the bundle of the units (unit-bundle.ts), from which the others import it: a second
 * copy would be a quarter of the package.
 */
function sharedOpenpgp(root: string): Plugin {
  const namespace = 'wherry-openpgp';
  return {
    name: namespace,
    setup(plugin) {
      plugin.onResolve({ filter: /^openpgp$/ }, () => ({ path: 'openpgp', namespace }));
      plugin.onResolve({ filter: /^\.\/unit-programs\.cjs$/, namespace }, ({ path: file }) => ({
        path: file,
        external: true,
      }));
      plugin.onLoad({ filter: /.*/, namespace }, async () => {
        const names = await sharedOpenpgpNames(root);
        return {
          contents: [
            `import * as units from './unit-programs.cjs';`,
            ...names.map((name) => `export const ${name} = units.openpgp.${name};`),
          ].join('\n'),
          loader: 'js',
        };
      });
    },
  };
}

/**
 * The closure of `entry` over import statements, without later imports by `import()`.
 */
export function staticClosure(metafile: Metafile, entry: string): StaticClosure {
  const byName = new Map(
    Object.entries(metafile.outputs).map(([file, output]) => [path.basename(file), output]),
  );
  const seen = new Set<string>();
  const packages = new Set<string>();
  let sizeBytes = 0;
  const visit = (name: string) => {
    const output = byName.get(name);
    if (output === undefined || seen.has(name)) return;
    seen.add(name);
    sizeBytes += output.bytes;
    for (const [input, { bytesInOutput }] of Object.entries(output.inputs)) {
      const owner = packageOf(input);
      if (owner !== undefined && bytesInOutput > 0) packages.add(owner);
    }
    for (const imported of output.imports) {
      if (imported.kind === 'import-statement' && imported.external !== true) {
        visit(path.basename(imported.path));
      }
    }
  };
  visit(`${entry}.js`);
  return { sizeBytes, packages: [...packages].sort() };
}

/**
 * All npm packages with code anywhere in the bundle, sorted; their licences go into the copyright
 * file.
 */
export function bundledPackages(metafile: Metafile): readonly string[] {
  const inputs = Object.values(metafile.outputs).flatMap((output) =>
    Object.entries(output.inputs)
      .filter(([, { bytesInOutput }]) => bytesInOutput > 0)
      .map(([input]) => packageOf(input)),
  );
  return [...new Set(inputs)].filter((name) => name !== undefined).sort();
}

/** `…/node_modules/@scope/name/file.js` → `@scope/name`; undefined for code of this project. */
export function packageOf(input: string): string | undefined {
  return /^.*\bnode_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(input)?.[1];
}
