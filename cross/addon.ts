import { readFile } from 'node:fs/promises';
import path from 'node:path';

import { BuildFailure } from './build-failure.ts';
import { cached, contentKey } from './cache.ts';
import type { NodeHeaders } from './sysroot.ts';
import { libsystemd, nodeHeaders } from './sysroot.ts';
import type { Target } from './targets.ts';
import { suites } from './targets.ts';
import { runTool } from './tool.ts';

/** A native module from npm, compiled here instead of by its own install script. */
interface AddonSource {
  /** First part of the file's name: `<name>-abi<ABI>.node`. */
  readonly name: string;
  /** Its one source file, and its directories of headers, below node_modules. */
  readonly source: string;
  readonly includes: readonly string[];
  /** node-gyp's target_name, which the registration in the source expects. */
  readonly gypTarget: string;
}

/**
 * Both use V8 directly rather than through Node-API, so each needs one build per Node ABI; both
 * link libsystemd dynamically and no C++ runtime at all.
 */
export const addonSources: readonly AddonSource[] = [
  {
    name: 'journald',
    source: 'systemd-journald/src/journal_send.cc',
    includes: ['nan'],
    gypTarget: 'journal_send',
  },
  { name: 'notify', source: 'sd-notify/notify.cc', includes: [], gypTarget: 'notify' },
];

/** File name of an addon, as the loader on the device composes it. */
export function addonFileName(name: string, abi: number): string {
  return `${name}-abi${abi}.node`;
}

/** For small, hardened addons with the same bytes on every machine. */
const compilerFlags: readonly string[] = [
  // Required by V8 of Node 24; the older headers accept it.
  '-std=c++20',
  '-Os',
  '-fPIC',
  '-shared',
  '-s',
  '-static-libgcc',
  '-fno-exceptions',
  '-fno-rtti',
  '-fvisibility=hidden',
  '-ffunction-sections',
  '-fdata-sections',
  '-fstack-protector-strong',
  '-D_FORTIFY_SOURCE=2',
  // The headers of V8 and NAN cause warnings, which wherry cannot fix.
  '-w',
  '-Wl,--gc-sections',
  '-Wl,--as-needed',
  '-Wl,--build-id=none',
  '-Wl,-z,relro,-z,now',
];

/**
 * Compiles every addon for `target` and for the Node of every suite.
 *
 * @returns a directory with the files named by {@link addonFileName}
 * @throws BuildFailure when sources, headers or the compiler are missing, or the compiler fails
 */
export async function buildAddons(cache: string, target: Target, nodeModules: string): Promise<string> {
  const compiler = `${target.triplet}-g++`;
  const compilerVersion = await runTool(target.crossCompiler, compiler, ['--version']);
  const sources = await Promise.all(
    addonSources.map((addon) =>
      readFile(path.join(nodeModules, addon.source)).catch((cause: unknown) => {
        throw new BuildFailure(
          `The source ${addon.source} is not in node_modules; run npm ci --ignore-scripts.`,
          { cause },
        );
      }),
    ),
  );
  const nanVersion = await readFile(path.join(nodeModules, 'nan/package.json'));
  const headers = await Promise.all(suites.map((suite) => nodeHeaders(cache, suite)));
  const key = contentKey([
    'addons 1',
    target.triplet,
    compilerVersion,
    compilerFlags.join(' '),
    JSON.stringify([addonSources, headers.map(({ abi }) => abi)]),
    nanVersion,
    ...sources,
  ]);
  return cached(
    `addons-${target.triplet}`,
    key,
    async (into) => {
      const library = await libsystemd(cache, target);
      for (const forOneAbi of headers) {
        for (const addon of addonSources) {
          await compile({ compiler, target, addon, headers: forOneAbi, library, nodeModules, into });
        }
      }
    },
    cache,
  );
}

interface Compilation {
  readonly compiler: string;
  readonly target: Target;
  readonly addon: AddonSource;
  readonly headers: NodeHeaders;
  readonly library: string;
  readonly nodeModules: string;
  readonly into: string;
}

async function compile(job: Compilation): Promise<void> {
  const include = job.addon.includes.flatMap((name) => ['-I', path.join(job.nodeModules, name)]);
  await runTool(job.target.crossCompiler, job.compiler, [
    ...compilerFlags,
    // __FILE__ in a header's assertion must not contain a path of this machine.
    `-ffile-prefix-map=${job.nodeModules}=.`,
    `-ffile-prefix-map=${job.headers.include}=.`,
    `-DNODE_GYP_MODULE_NAME=${job.addon.gypTarget}`,
    '-DBUILDING_NODE_EXTENSION',
    '-I',
    path.join(job.headers.include, 'node'),
    // As system headers, so that their own include order rules.
    '-isystem',
    job.headers.include,
    ...include,
    path.join(job.nodeModules, job.addon.source),
    job.library,
    '-o',
    path.join(job.into, addonFileName(job.addon.name, job.headers.abi)),
  ]);
}
