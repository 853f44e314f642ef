/* A line of the last minutes. The newest value is at the right; the box is as wide as what is kept. */
export function Spark({ values, most, label }: { values: number[]; most: number; label: string }) {
  const width = 600;
  const height = 96;
  const top = Math.max(1, ...values) * 1.1;
  const x = (at: number) => width - ((values.length - 1 - at) / (most - 1)) * width;
  const y = (value: number) => height - 1 - (value / top) * (height - 8);
  const points = values.map((value, at) => `${x(at).toFixed(1)},${y(value).toFixed(1)}`);
  return (
    <svg class="spark" viewBox={`0 0 ${width} ${height}`} preserveAspectRatio="none" role="img" aria-label={label}>
      {[0.25, 0.5, 0.75].map((part) => (
        <line key={part} class="spark-grid" x1="0" x2={width} y1={height * part} y2={height * part} />
      ))}
      {points.length > 1 && (
        <>
          <polygon class="spark-area" points={`${x(0).toFixed(1)},${height} ${points.join(" ")} ${width},${height}`} />
          <polyline class="spark-line" points={points.join(" ")} />
        </>
      )}
    </svg>
  );
}
