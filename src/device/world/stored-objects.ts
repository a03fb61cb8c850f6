import { type DeviceState, referencedObjects, type ReplacedObject } from '../deploy/index.ts';
import type { Journal } from '../../core/ports/index.ts';
import type { DamagedImage } from '../../wire/report/index.ts';
import type { ImageStore, StoredObject } from '../store/index.ts';
import type { Systemd } from '../systemd/index.ts';

export interface StoredObjectsPorts {
  readonly systemd: Systemd;
  readonly store: ImageStore;
  readonly journal: Journal;
  /** The mount unit of an object. */
  readonly mountOf: (id: string) => string;
}

/**
 * What wherryd found out about stored objects since it started: which are damaged, and which are
 * mounted outdated.
 */
export class StoredObjects {
  private readonly ports: StoredObjectsPorts;
  private readonly damage = new Map<string, DamagedImage>();
  private readonly outdated = new Set<string>();

  constructor(ports: StoredObjectsPorts) {
    this.ports = ports;
  }

  /**
   * Objects that were not what was verified when they were last looked at, and have not been
   * replaced since.
   */
  get damaged(): readonly DamagedImage[] {
    return [...this.damage.values()];
  }

  /** Objects that were replaced on disk while the old one is still mounted, or failed to be. */
  get replaced(): readonly ReplacedObject[] {
    return [...this.outdated].map((id) => ({ id, mount: this.ports.mountOf(id) }));
  }

  /**
   * Whether an object is still what was verified, judged cheaply. What is wrong is logged and stays
   * in `damaged`.
   */
  async intact(object: StoredObject): Promise<boolean> {
    const { store, journal } = this.ports;
    const refusal = await store.verifyCheaply(object);
    const { id, name } = object;
    if (refusal === undefined) {
      this.damage.delete(id);
      return true;
    }
    // The same fault is logged once, however often it is looked at.
    if (this.damage.get(id)?.message !== refusal.message)
      journal.log('error', refusal.message, { WHERRY_CODE: refusal.code });
    this.damage.set(id, { imageId: id, name, message: refusal.message });
    return false;
  }

  /** Looks at every object that a deployment needs. */
  async check(state: DeviceState): Promise<void> {
    const referenced = referencedObjects(state);
    for (const object of [...state.images, ...(state.trees ?? [])]) {
      if (referenced.has(object.id)) await this.intact(object);
    }
  }

  /** Notes that a new object took the place of this ID. */
  async stored(id: string): Promise<void> {
    this.damage.delete(id);
    const { activeState } = await this.ports.systemd.status(this.ports.mountOf(id));
    if (activeState !== 'inactive') this.outdated.add(id);
  }

  /** Notes that the old object is not mounted any more. */
  unmounted(id: string): void {
    this.outdated.delete(id);
  }
}
