import { defaultCapabilities } from '../../image/appc/index.ts';
import type { Fields, Findings } from './fields.ts';

/** The security context of a pod or a container; that of a container has precedence. */
export interface Security {
  readonly user?: number;
  readonly group?: number;
  readonly nonRoot?: boolean;
  readonly unconfined?: boolean;
  readonly supplementaryGroups?: readonly number[];
}

/** The fields that a pod and its containers have in common. */
export function readSecurity(fields: Fields): Security {
  const seccomp = fields.object('seccompProfile', (profile) => {
    // Every app has a filter unless it requests none.
    const type = profile.string('type') ?? 'RuntimeDefault';
    if (type !== 'RuntimeDefault' && type !== 'Unconfined') {
      profile.findings.add(profile.at('type'), 'expected RuntimeDefault or Unconfined');
    }
    return type === 'Unconfined';
  });
  const [user, group] = [fields.count('runAsUser'), fields.count('runAsGroup')];
  const nonRoot = fields.boolean('runAsNonRoot');
  return {
    ...(user === undefined ? {} : { user }),
    ...(group === undefined ? {} : { group }),
    ...(nonRoot === undefined ? {} : { nonRoot }),
    ...(seccomp === undefined ? {} : { unconfined: seccomp }),
  };
}

interface Isolator {
  readonly name: string;
  readonly value: unknown;
}

/** The rest of a container's security context, as isolators and as `readOnlyRootFS`. */
export function readContainerSecurity(fields: Fields): Security & {
  readonly isolators: readonly Isolator[];
  readonly readOnlyRoot?: boolean;
} {
  if (fields.boolean('privileged') === true) {
    fields.findings.add(
      fields.at('privileged'),
      'no app has all rights on a device; add single capabilities',
    );
  }
  const escalation = fields.boolean('allowPrivilegeEscalation');
  const readOnlyRoot = fields.boolean('readOnlyRootFilesystem');
  const capabilities = fields.object('capabilities', (sets) =>
    capabilityIsolators(sets.strings('add') ?? [], sets.strings('drop') ?? [], sets.findings, sets.path),
  );
  return {
    ...readSecurity(fields),
    ...(readOnlyRoot === undefined ? {} : { readOnlyRoot }),
    isolators: [
      ...(capabilities ?? []),
      ...(escalation === undefined ? [] : [{ name: 'os/linux/no-new-privileges', value: !escalation }]),
    ],
  };
}

function capabilityIsolators(
  add: readonly string[],
  drop: readonly string[],
  findings: Findings,
  path: string,
): readonly Isolator[] {
  // Container engines accept any case, with and without the prefix.
  const full = (name: string): string => `CAP_${name.toUpperCase().replace(/^CAP_/, '')}`;
  const [added, without] = [add.map(full), drop.map(full)];
  if (added.includes('CAP_ALL')) findings.add(`${path}.add`, 'an app cannot get ALL; name the capabilities');
  const own = without.includes('CAP_ALL') ? [] : defaultCapabilities;
  // As in container engines, one that is both added and dropped by name is dropped.
  const kept = [...new Set([...own, ...added])].filter(
    (name) => name !== 'CAP_ALL' && !without.includes(name),
  );
  if (add.length === 0 && drop.length === 0) return [];
  // A retain-set cannot be empty.
  return kept.length === 0
    ? [{ name: 'os/linux/capabilities-remove-set', value: { set: defaultCapabilities } }]
    : [{ name: 'os/linux/capabilities-retain-set', value: { set: kept } }];
}
