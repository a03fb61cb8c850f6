import type { Board } from '../../qemu/index.ts';

/** App → process ID, from systemd: the running apps of a pod. */
export async function appPids(board: Board, pod: string): Promise<Record<string, string>> {
  const shown = await board.check(
    `systemctl show --state=active -p Id,MainPID 'wherry-pod-${pod}.*.service'`,
  );
  // The order of the two lines differs between versions of systemd.
  const units = shown
    .split('\n\n')
    .map((block) =>
      [/^Id=.*-([a-z]+)(?:\.\w+)?\.service$/m, /^MainPID=(\d+)$/m].map((form) => form.exec(block)?.[1]),
    );
  return Object.fromEntries(
    units.flatMap(([app, pid]) => (app === undefined || pid === undefined ? [] : [[app, pid]])),
  );
}
