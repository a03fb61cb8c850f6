import { escapeUnitPath, unitNameMaxBytes } from '../systemd/index.ts';

/**
 * Mounts that are made before any pod starts, or the boot fails. They are also mounted in rescue
 * mode, where no app must start.
 */
const systemMounts = new Set(['/', '/boot', '/etc', '/run', '/tmp', '/usr', '/var']);

/**
 * The possible mount units of directories, one for each part of their paths. Which of them exists
 * is not known here, and may change: a disk may be added to fstab(5) after a pod was deployed.
 */
export function mountUnitsOf(directories: readonly string[]): readonly string[] {
  const units = new Set<string>();
  for (const directory of directories) {
    const parts = directory.split('/').filter((part) => part !== '' && part !== '.');
    // systemd does not accept such a path. A unit name is limited in length, too.
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
