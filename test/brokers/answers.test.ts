import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { answers, answersOf, answersTable, columns, rabbitmq4Lines } from './answers.ts';
import { brokerKinds } from './broker-under-test.ts';
import { questions } from './questions.ts';

it('docs/brokers.md shows the answers that the brokers are held to', () => {
  const page = readFileSync(join(import.meta.dirname, '../../docs/brokers.md'), 'utf8');
  expect(page).toContain(`\n${answersTable()}\n`);
  expect(page).toContain(`\n${rabbitmq4Lines()}\n`);
});

it('every question has an answer of every broker that it is asked, in the order of asking', () => {
  for (const column of columns)
    for (const release of ['3.10.8', '4.0.5'])
      expect(Object.keys(answersOf(column, release))).toEqual(questions.map(({ words }) => words));
  for (const { column, nodes } of brokerKinds) {
    const unasked = questions.filter(({ words }) => answers[column][words] === '-');
    expect(unasked).toEqual(nodes > 1 ? [] : questions.filter(({ clusters }) => clusters));
  }
});
