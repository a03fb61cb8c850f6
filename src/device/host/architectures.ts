import { compatibleArchitectures, machineArchitecture } from '../../image/appc/index.ts';
import { Refusal } from '../../core/refusal/index.ts';
import type { CapabilityReport } from '../../wire/report/index.ts';

/** What is known of the kernel and of the programs that it runs. */
export interface KernelFacts {
  /** `uname -m`. */
  readonly machine: string;
  /** Node's name for the architecture that its own program was made for. */
  readonly processArch: string;
  /**
   * The output of `uname -m` with the 32-bit personality (wherry-arm32.service); empty when the
   * kernel refused it, absent when the unit has not run.
   */
  readonly machine32?: string | undefined;
}

export interface Architectures {
  /** Values of the `arch` label that this device runs, best first. */
  readonly runs: readonly string[];
  /** One line for each of them, and for each that other devices of this kind run. */
  readonly capabilities: readonly CapabilityReport[];
}

/**
 * The architectures that this device runs (docs/decisions/arm32.md). Not every ARMv8 CPU has a
 * 32-bit user space, and not every kernel was built to run 32-bit programs; an architecture is run
 * only if that is certain.
 *
 * @throws Refusal `device-unsupported` on a machine that appc has no name for
 */
export function architecturesOf(facts: KernelFacts): Architectures {
  const { machine, processArch } = facts;
  // A 32-bit system under a 64-bit kernel: its runtime filters the calls of 32-bit programs only.
  const arch = processArch === 'arm' && machine === 'aarch64' ? 'armv7l' : machineArchitecture(machine);
  if (arch === undefined)
    throw new Refusal('device-unsupported', `${machine} is not an architecture of appc`);
  const lacking = arch === 'aarch64' ? whyNoArm32(facts.machine32) : notLookedFor;
  const runs = compatibleArchitectures({ arch, compat32: lacking === undefined });
  const others = compatibleArchitectures({ arch, compat32: true });
  return {
    runs,
    capabilities: others.map((name) => {
      const available = runs.includes(name);
      return {
        name: `arch-${name}`,
        available,
        detail: available ? '' : `${lacking}; deploy images for ${arch}`,
      };
    }),
  };
}

const notLookedFor = 'wherry does not look for 32-bit programs on this architecture';

/** Why an ARMv8 device cannot run 32-bit programs; undefined when it can. */
function whyNoArm32(machine32: string | undefined): string | undefined {
  switch (machine32) {
    // Only a kernel with CONFIG_COMPAT reports this name.
    case 'armv8l':
      return undefined;
    case undefined:
      return 'whether 32-bit programs run is unknown: "systemctl restart wherry-arm32 wherryd" checks that';
    case '':
      return 'the CPU has no 32-bit user space';
    default:
      return 'the kernel was built without CONFIG_COMPAT';
  }
}
