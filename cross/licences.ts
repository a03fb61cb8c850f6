import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';

import { BuildFailure } from './build-failure.ts';

interface Licensed {
  readonly name: string;
  readonly version: string;
  readonly licence: string;
  readonly text: string;
}

/**
 * The text of /usr/share/doc/wherry/copyright: wherry's own licence, and that of every npm package
 * whose code is in the package, with its text. Equal texts appear once.
 *
 * @param packages names as in node_modules
 * @throws BuildFailure when one of them has no licence text, since then it may not be shipped
 */
export async function copyrightFile(nodeModules: string, packages: readonly string[]): Promise<string> {
  const licensed = await Promise.all(packages.map((name) => licenceOf(nodeModules, name)));
  const groups = new Map<string, Licensed[]>();
  for (const one of licensed) groups.set(one.text, [...(groups.get(one.text) ?? []), one]);
  const sections = [...groups].map(([text, members]) => {
    const names = members.map(({ name, version, licence }) => `  ${name} ${version} (${licence})`);
    return `${names.join('\n')}\n\n${text.replaceAll(/^(?=.)/gm, '    ')}\n`;
  });
  return [
    'wherry is licensed under the Apache License, Version 2.0; on Debian systems its text is in',
    '/usr/share/common-licenses/Apache-2.0.',
    '',
    'The programs in /usr/lib/wherry contain code of the following packages of the npm registry, where their sources',
    'are; "npm run package" in the source of wherry puts them together. To use another version of one of',
    'them, change package.json and build the package again.',
    '',
    ...sections,
  ].join('\n');
}

async function licenceOf(nodeModules: string, name: string): Promise<Licensed> {
  const directory = path.join(nodeModules, name);
  const manifest = JSON.parse(await readFile(path.join(directory, 'package.json'), 'utf8')) as {
    version?: unknown;
    license?: unknown;
  };
  const names = (await readdir(directory)).sort();
  const file = names.find((entry) => /^(licen[cs]e|copying)/i.test(entry));
  const text =
    file === undefined
      ? await sectionOfReadme(path.join(directory, 'README.md'))
      : await readFile(path.join(directory, file), 'utf8');
  if (text === undefined || typeof manifest.license !== 'string') {
    throw new BuildFailure(`The npm package ${name} carries no licence; it cannot be shipped.`);
  }
  return { name, version: String(manifest.version), licence: manifest.license, text: text.trim() };
}

/** The section of a README that has the terms of its licence. */
async function sectionOfReadme(file: string): Promise<string | undefined> {
  const readme = await readFile(file, 'utf8').catch(() => '');
  const sections = readme.split(/^##? /m).filter((section) => /^licen[cs]e\n/i.test(section));
  return sections.find((section) => section.includes('Permission is hereby granted'))?.slice(8);
}
