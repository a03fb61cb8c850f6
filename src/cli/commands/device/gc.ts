import { askToCollect, deviceStore, listGarbage } from '../../../device/local-api/index.ts';
import type { Context } from '../../context.ts';
import { formatBytes } from '../../format.ts';

/** `wherry gc` */
export async function collectGarbage({ clock, json, terminal }: Context): Promise<void> {
  const pid = await askToCollect(clock, terminal.stop);
  const note = 'wherryd collects now; its journal lists what was deleted: journalctl -u wherryd -n 20';
  terminal.out(json ? JSON.stringify({ asked: pid }) : note);
}

/** `wherry gc --dry-run` */
export async function showGarbage(
  { json, terminal }: Context,
  options: { readonly store?: string },
): Promise<void> {
  const list = await listGarbage(options.store ?? deviceStore);
  if (json) {
    terminal.out(JSON.stringify(list));
    return;
  }
  const { garbage, totalBytes } = list;
  for (const { path, allocatedBytes } of garbage) terminal.out(`${path}  ${formatBytes(allocatedBytes)}`);
  terminal.out(
    garbage.length === 0 ? 'nothing to delete' : `"wherry gc" would free ${formatBytes(totalBytes)}`,
  );
}
