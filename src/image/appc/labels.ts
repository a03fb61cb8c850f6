import { quote, SchemaFault } from './fault.ts';
import { Fields, listOf, text, type Read } from './fields.ts';
import { acIdentifier } from './identifiers.ts';
import { validArchitectures } from './platform.ts';
import type { NameValue } from './types.ts';

const label: Read<NameValue> = (value, at) => {
  const fields = new Fields(value, at, ['name', 'value']);
  const name = fields.required('name', acIdentifier);
  if (name === 'name')
    throw new SchemaFault(at, 'a label may not be called "name" (aci.md#image-manifest-schema)');
  return { name, value: fields.required('value', text) };
};

/**
 * Labels of an image, a dependency or a pod's image: names unique and not `name`; an `os` that is
 * known and, together with it, an `arch` that exists there. `arch` without `os` has no meaning
 * (aci.md) and is not checked.
 */
export const labels: Read<readonly NameValue[]> = (value, at) => {
  const read = listOf(label, { by: ({ name }) => name, what: 'label' })(value, at);
  const os = labelValue(read, 'os');
  if (os === undefined) return read;
  const architectures = validArchitectures.get(os);
  if (architectures === undefined) {
    throw new SchemaFault(
      at,
      `expected an "os" among ${[...validArchitectures.keys()].join(', ')}, found ${quote(os)}`,
    );
  }
  const arch = labelValue(read, 'arch');
  if (arch !== undefined && !architectures.includes(arch)) {
    throw new SchemaFault(
      at,
      `expected an "arch" of ${os} among ${architectures.join(', ')}, found ${quote(arch)}`,
    );
  }
  return read;
};

/** The value of the label or annotation `name`. */
export function labelValue(list: readonly NameValue[], name: string): string | undefined {
  return list.find((member) => member.name === name)?.value;
}
