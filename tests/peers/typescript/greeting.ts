// The names, the JSON and the texts of greeting/src/workflows.rs.

export const FAILS_ON_PURPOSE = 'the activity failed on purpose';

// What an update of MessagesWorkflow refuses, and the message of its failure.
export const REFUSED = 'refused on purpose';
export type Text = string | null;

export interface GreetingInput {
  id: string;
  name: string;
  activities?: number; // absent: 10
  activity_seconds?: number; // absent: 0.5
  failing?: 'once' | 'for_good';
}

export interface ComposeGreetingInput {
  greeting: string;
  name: string;
  seconds?: number; // absent: 0.5
  failing?: 'once' | 'for_good';
}

export const activitiesOf = (input: GreetingInput) => input.activities ?? 10;

export const resultOf = (input: GreetingInput) => `Greeted ${input.name} ${activitiesOf(input)} times`;

export const detailsOf = (greeting: string, name: string) => `${greeting}, ${name}, not today`;
