import path from 'node:path';

import { BuildFailure } from './build-failure.ts';
import type { Bundle } from './bundle.ts';
import { packageOf } from './bundle.ts';

/** One of the two packages that a bundle is divided into. */
export interface PackagePart {
  /** File name → bytes, sorted by name. */
  readonly files: ReadonlyMap<string, Uint8Array>;
  /** The npm packages with code in it, sorted. */
  readonly npmPackages: readonly string[];
}

/** Folders of code that only an operator uses. */
const operatorFolders = /^src\/(?:operator|cli\/commands\/(?:operator|controller))\//;

/**
 * Divides a bundle into the parts of the device and of its operator.
 *
 * The device's part is everything that its programs reach over imports, early or late, without the
 * late imports of the operator's folders. The rest is the operator's part; its chunks get other
 * names. So no file is in both packages, even of different versions, and a program can distinguish
 * a missing package from a damaged one.
 *
 * @param entries names of the device's programs; they reach the operator's part
 * @throws BuildFailure when a program of the device imports the operator's code early
 */
export function packageParts(
  { files, metafile }: Bundle,
  entries: readonly string[],
): { readonly device: PackagePart; readonly operator: PackagePart } {
  const outputs = new Map(
    Object.entries(metafile.outputs).map(([file, output]) => [path.basename(file), output]),
  );
  const device = new Set<string>();
  const visit = (name: string): void => {
    const output = outputs.get(name);
    if (output === undefined || device.has(name) || operatorFolders.test(output.entryPoint ?? '')) return;
    device.add(name);
    for (const one of output.imports) visit(path.basename(one.path));
  };
  for (const entry of entries) visit(`${entry}.js`);

  const sourcesOf = (name: string): readonly string[] =>
    Object.entries(outputs.get(name)?.inputs ?? {})
      .filter(([, { bytesInOutput }]) => bytesInOutput > 0)
      .map(([source]) => source);
  const stray = [...device].flatMap(sourcesOf).find((source) => operatorFolders.test(source));
  if (stray !== undefined) {
    throw new BuildFailure(`A program of the device imports ${stray}; it may only with import(), late.`);
  }

  const part = (isWanted: (name: string) => boolean): PackagePart => {
    const names = [...files.keys()].filter(isWanted);
    const npmPackages = new Set(names.flatMap(sourcesOf).flatMap((source) => packageOf(source) ?? []));
    const renamed = names.map(
      (name) => [newName(name), withNewNames(files.get(name) ?? Buffer.of())] as const,
    );
    return {
      files: new Map(renamed.sort(([a], [b]) => (a < b ? -1 : 1))),
      npmPackages: [...npmPackages].sort(),
    };
  };
  const newName = (name: string): string => (device.has(name) ? name : name.replace('chunk-', 'operator-'));
  const withNewNames = (bytes: Uint8Array): Uint8Array =>
    Buffer.from(
      Buffer.from(bytes)
        .toString()
        .replaceAll(/\bchunk-[A-Z0-9]{8}\.js\b/g, newName),
    );
  return { device: part((name) => device.has(name)), operator: part((name) => !device.has(name)) };
}
