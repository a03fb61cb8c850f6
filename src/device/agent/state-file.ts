import {
  decodeState,
  type DeviceState,
  emptyState,
  encodeState,
  keepNewerTrust,
  type StateKeeper,
} from '../deploy/index.ts';
import type { Journal } from '../../core/ports/index.ts';
import type { StateSlots } from '../store/index.ts';
import { inTurn } from './in-turn.ts';

export interface StateFile extends StateKeeper {
  /**
   * Saves what `change` returns for the newest state. For changes that may happen during a
   * deployment. `save` of a deployment never takes a newer root or trusted version back.
   */
  update(change: (state: DeviceState) => DeviceState): Promise<void>;
}

/**
 * Opens the device's state. A device that was never commanded has none. A damaged state, or one of
 * a later version of wherry, is refused: forgetting the trusted version would let an old command
 * in. If one slot of two is lost, the state of the other is used, and that is logged.
 *
 * @throws Refusal `state-unreadable`
 */
export async function openState(slots: StateSlots, journal: Journal): Promise<StateFile> {
  const saved = await slots.read();
  if (saved?.fault !== undefined) {
    const message = `${saved.fault}; the other slot is used, which may be one save older, so the newest command may be obeyed a second time; check the disk`;
    journal.log('error', message, { WHERRY_CODE: 'state-unreadable' });
  }
  let state: DeviceState = saved === undefined ? emptyState : decodeState(saved.body);
  const turn = inTurn();
  const write = async (next: DeviceState): Promise<void> => {
    const body = encodeState(next);
    decodeState(body); // a state that cannot be read back would stop every later start
    await slots.write(body);
    state = next;
  };
  return {
    get state() {
      return state;
    },
    save: (next) => turn(() => write(keepNewerTrust(next, state))),
    update: (change) => turn(() => write(change(state))),
  };
}
