import { escapeUnitPath, unitNameMaxBytes } from '../systemd/index.ts';

/**
 * Mounted before any pod starts, or the boot fails. They are mounted in rescue mode as well, where
 * no app is wanted.
 */
const systemMounts = new Set(['/', '/boot', '/etc', '/run', '/tmp', '/usr', '/var']);

/**
 * The mount units that directories may lie on, one for each part of their paths. Which of them
 * exist is not known here, and may change: a disk may be added to fstab(5) after a pod was
 * deployed.
 */
export function mountUnitsOf(directories: readonly string[]): readonly string[] {
  const units = new Set<string>();
  for (const directory of directories) {
    const parts = directory.split('/').filter((part) => part !== '' && part !== '.');
    // systemd takes no such path, and a unit name is not longer.
    if (parts.includes('..')) continue;
    for (let count = 1; count <= parts.length; count++) {
      const place = `/${parts.slice(0, count).join('/')}`;
      if (systemMounts.has(place)) continue;
      const unit = `${escapeUnitPath(place)}.mount`;
      if (unit.length <= unitNameMaxBytes) units.add(unit);
    }
  }
  return [...units];
}
