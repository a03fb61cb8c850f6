import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';

import { BuildFailure } from './build-failure.ts';

/**
 * Licences whose texts every Debian system has in /usr/share/common-licenses. A package refers to
 * them (Debian policy, §12.5).
 */
const commonLicences = [
  { title: /^Apache License\s+Version 2\.0, January 2004\s/i, files: ['Apache-2.0'] },
  // It supplements the GNU General Public License.
  { title: /^GNU LESSER GENERAL PUBLIC LICENSE\s+Version 3, 29 June 2007\s/, files: ['LGPL-3', 'GPL-3'] },
];

/** What those texts themselves say about a copyright. */
const theirNotices = /copyright (\[yyyy\]|\(C\) 2007 Free Software Foundation)/gi;

interface Licensed {
  readonly name: string;
  readonly version: string;
  readonly licence: string;
  readonly text: string;
}

/**
 * The text of /usr/share/doc/wherry/copyright: wherry's own licence, and that of every npm package
 * whose code is in the package, with its text, or where Debian has it. Equal texts appear once.
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
  return { name, version: String(manifest.version), licence: manifest.license, text: shortened(text.trim()) };
}

/** The text, or where Debian has it, unless it names an owner of the package's own. */
function shortened(text: string): string {
  const known = commonLicences.find(({ title }) => title.test(text));
  if (known === undefined || /copyright (\(c\)|©|\d{4})/i.test(text.replaceAll(theirNotices, '')))
    return text;
  const files = known.files.map((file) => `/usr/share/common-licenses/${file}`);
  return `On Debian systems the text of this licence is in ${files.join(', with ')}.`;
}

/** The section of a README that has the terms of its licence. */
async function sectionOfReadme(file: string): Promise<string | undefined> {
  const readme = await readFile(file, 'utf8').catch(() => '');
  const sections = readme.split(/^##? /m).filter((section) => /^licen[cs]e\n/i.test(section));
  return sections.find((section) => section.includes('Permission is hereby granted'))?.slice(8);
}
