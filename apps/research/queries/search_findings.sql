-- Full-text search over findings, best first. Words, "phrases", word*, AND, OR, NOT.
--
-- param words text
-- filter workflow_id, agent_id, confidence
-- sort score desc, number
-- key number
-- limit 10 max 100
SELECT f.number, f.title, snippet(finding_text, 1, '[', ']', '…', 24) AS excerpt, f.workflow_id, f.step_id, f.agent_id,
  f.source, f.confidence, round(-bm25(finding_text, 3.0, 1.0), 6) AS score
FROM finding_text JOIN finding f ON f.number = finding_text.rowid
WHERE finding_text MATCH :words
