"""The JSON document of an assessment."""

from __future__ import annotations

from typing import Any

from confiture.models.grades import Assessment, MigrationAssessment
from confiture.models.predictions import Prediction
from confiture.output.json.document import with_schema_version
from confiture.output.json.objects import round_to_microseconds


def assessment_document(assessment: Assessment) -> dict[str, Any]:
    """Describe the graded risks of pending migrations: `migrate assess`."""
    return with_schema_version("confiture.assessment") | {
        "environment": assessment.environment,
        "database": assessment.database,
        "worst": assessment.worst.value,
        "migrations": [assessed_migration_object(one) for one in assessment.migrations],
        "notes": list(assessment.notes),
    }


def assessed_migration_object(migration: MigrationAssessment) -> dict[str, Any]:
    """Describe the grades of one migration."""
    return {
        "version": migration.version,
        "name": migration.name,
        "effect": migration.effect,
        "worst": migration.worst.value,
        "out_of_order": migration.out_of_order,
        "has_down": migration.has_down,
        "relations": list(migration.relations),
        "prediction": _prediction_object(migration.prediction),
        "grades": [
            {
                "category": one.category.value,
                "grade": one.grade.value,
                "source": one.source.value,
                "reason": one.reason,
            }
            for one in migration.grades
        ],
    }


def _prediction_object(prediction: Prediction | None) -> dict[str, Any] | None:
    if prediction is None:
        return None
    return {
        "database": prediction.database,
        "measured_at": prediction.measurement.at if prediction.measurement else None,
        "predicted_ms": round_to_microseconds(prediction.predicted_ms),
        "predicted_low_ms": round_to_microseconds(prediction.low_ms),
        "predicted_high_ms": round_to_microseconds(prediction.high_ms),
        "dry_runs": prediction.runs,
    }
