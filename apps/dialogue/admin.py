"""Which admin pages this app has; Django looks for them here."""

from apps.dialogue.admin_bots import BotAdmin
from apps.dialogue.admin_hit_tests import EvaluationRunAdmin
from apps.dialogue.admin_turns import ConversationAdmin, FeedbackAdmin, TurnAdmin

__all__ = ["BotAdmin", "ConversationAdmin", "EvaluationRunAdmin", "FeedbackAdmin", "TurnAdmin"]
