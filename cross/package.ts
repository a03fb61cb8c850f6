import { copyFile, mkdir } from 'node:fs/promises';
import path from 'node:path';
import { parseArgs } from 'node:util';

import type { DebianArch } from './index.ts';
import { allArchs, buildPackages, BuildFailure } from './index.ts';

const help = `Usage: npm run package -- [--arch ${allArchs.join(',')}] [--out build/] [--json]

Builds the Debian packages of wherry: for each architecture one for devices and one for operators.

  --arch LIST   architectures, separated by commas (default: all)
  --out DIR     where to put them (default: build/)
  --json        print the result as one JSON object instead of a table
  --help        print this

Parts that did not change come from the cache in \${XDG_CACHE_HOME:-~/.cache}/wherry.
`;

async function main(argv: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      arch: { type: 'string', default: allArchs.join(',') },
      out: { type: 'string', default: 'build' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(help);
    return 0;
  }
  const archs = [...new Set(values.arch.split(','))].map(parseArch);
  const root = path.join(import.meta.dirname, '..');
  const built = await buildPackages({
    root,
    archs,
    operatorArchs: archs,
    progress: (line) => process.stderr.write(`package: ${line}\n`),
  });
  const all = [...built.packages, ...built.operators];
  await mkdir(values.out, { recursive: true });
  for (const { file } of all) await copyFile(file, path.join(values.out, path.basename(file)));
  if (values.json) {
    const packages = all.map((one) => ({
      ...one,
      file: path.join(values.out, path.basename(one.file)),
    }));
    process.stdout.write(`${JSON.stringify({ packages, closures: built.closures })}\n`);
    return 0;
  }
  for (const [program, { sizeBytes, packages }] of Object.entries(built.closures)) {
    process.stderr.write(`package: ${program} loads ${kib(sizeBytes)} at start: ${packages.join(' ')}\n`);
  }
  for (const { file, sizeBytes, sha256 } of all) {
    const name = path.join(values.out, path.basename(file));
    process.stdout.write(`${name}  ${kib(sizeBytes)}  ${sha256}\n`);
  }
  return 0;
}

function parseArch(word: string): DebianArch {
  const arch = allArchs.find((known) => known === word);
  if (arch === undefined) {
    throw new BuildFailure(`There is no architecture "${word}"; there are ${allArchs.join(', ')}.`);
  }
  return arch;
}

function kib(bytes: number): string {
  return `${Math.ceil(bytes / 1024)} KiB`;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  const badOption = error instanceof TypeError && 'code' in error; // thrown by parseArgs
  if (!(error instanceof BuildFailure) && !badOption) throw error;
  process.stderr.write(`package: ${error.message}\n`);
  process.exitCode = badOption ? 64 : 1;
}
