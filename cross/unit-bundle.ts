import path from 'node:path';

import type { Metafile } from 'esbuild';
import { build } from 'esbuild';

import { BuildFailure } from './build-failure.ts';
import { lineLimit } from './bundle.ts';
import { dependencyDiet } from './dependency-diet.ts';
import { lateModules } from './late-modules.ts';
import { openpgpDiet } from './openpgp-diet.ts';

/** The program of the short-lived units, as one file. */
export const unitBundle = 'unit-programs.cjs';

/**
 * Bundles the units' programs as one CommonJS file without chunks: a startup snapshot is built from
 * one file, and `import()` does not work in it.
 *
 * @throws BuildFailure when it does not compile
 */
export async function bundleUnits(options: {
  readonly root: string;
  readonly nodeModules: string;
  readonly version: string;
}): Promise<{ readonly bytes: Uint8Array; readonly metafile: Metafile }> {
  const result = await build({
    absWorkingDir: options.root,
    entryPoints: ['src/device/jobs/unit/unit-programs.ts'],
    outfile: path.join(options.root, 'build', unitBundle),
    bundle: true,
    format: 'cjs',
    platform: 'node',
    target: 'node20',
    minify: true,
    lineLimit,
    legalComments: 'none',
    define: {
      'process.env.WHERRY_VERSION': JSON.stringify(options.version),
      // OpenPGP passes it to createRequire, which the diet replaces.
      'import.meta.url': 'undefined',
    },
    // The builder of snapshots provides no `module` to its script.
    banner: { js: `var module=typeof module==='undefined'?{exports:{}}:module;` },
    nodePaths: [options.nodeModules],
    plugins: [lateModules(), openpgpDiet(options.nodeModules), dependencyDiet()],
    logLevel: 'silent',
    metafile: true,
    write: false,
  }).catch((cause: unknown) => {
    throw new BuildFailure(`The bundle of the units does not compile: ${String(cause)}`, { cause });
  });
  const [file] = result.outputFiles;
  if (file === undefined) throw new BuildFailure('The bundle of the units has no file.');
  return { bytes: file.contents, metafile: result.metafile };
}
