import { coreModules, inTurn, numberFrom, secondsOf, type Group } from './bench.ts';

/** The time that a device lacks its supervisor after an upgrade or a crash. */
export const connectGroup: Group = {
  about: 'start of wherryd until it is connected',
  measure: async (bench) => {
    const { board } = await bench.scene();
    const times = await inTurn(bench, {
      // From the request to systemd to the time of the journal entry.
      ours: () =>
        numberFrom(
          board,
          `systemctl stop wherryd
          start=$(now)
          systemctl start wherryd
          invocation=$(systemctl show -P InvocationID wherryd)
          until connected=$(journalctl -b -o json --output-fields=MESSAGE _SYSTEMD_INVOCATION_ID=$invocation |
            grep '"connected to the broker') && [ -n "$connected" ]; do sleep 0.5; done
          since "$start" "$(at <<<"$connected")"`,
        ),
      peer: () => secondsOf(board, 'node -e 0'),
      modules: () =>
        secondsOf(board, `node -e 'for (const name of ${JSON.stringify(coreModules)}) require(name)'`),
    });
    return [
      {
        name: 'wherryd from start to connected, s; peer: node -e 0',
        ours: times.ours,
        peer: times.peer,
        bound: 1.5,
      },
      {
        name: 'the same; peer: node with the same core modules',
        ours: times.ours,
        peer: times.modules,
      },
    ];
  },
};
