/** Values that a list has more than once, each named once. */
export const twice = (values: string[]): string[] => [
  ...new Set(values.filter((value, i) => values.indexOf(value) !== i)),
];
