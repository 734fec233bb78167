"""Refusals with the platform's error codes, statuses and bodies.

Source: docs.z.ai and docs.bigmodel.cn, "error codes". If those pages do not name the HTTP status, the emulator uses
the status that users report; docs/fidelity.md lists these statuses.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

# code -> HTTP status, Chinese message, English message. `{}` is the detail.
CODES: Mapping[str, tuple[int, str, str]] = {
    "500": (500, "内部错误，请稍后重试{}", "Internal error{}"),
    "401": (401, "令牌已过期或验证不正确", "token expired or incorrect"),
    "1000": (401, "身份验证失败", "Authentication Failed"),
    "1001": (
        401,
        "Header中未收到Authorization参数，无法进行身份验证",
        "Authentication parameter not received in Header",
    ),
    "1002": (401, "Authorization Token非法，请确认正确传递", "Authorization Token is invalid"),
    "1003": (401, "Authorization Token已过期，请重新生成", "Authorization Token has expired"),
    "1004": (401, "通过提供的Token身份验证失败", "Authentication with the provided Token failed"),
    "1100": (429, "账户读写异常", "Account Read/Write"),
    "1110": (429, "您的账户当前处于非活动状态", "Your account is currently inactive"),
    "1111": (429, "您的账户不存在", "Your account does not exist"),
    "1112": (429, "您的账户已被锁定，请联系客服解锁", "Your account has been locked"),
    "1113": (429, "余额不足或无可用资源包,请充值。", "Insufficient balance or no resource package."),
    "1120": (429, "无法成功访问您的账户，请稍后重试", "Unable to access your account, try later"),
    "1121": (429, "因违规行为，账号已被锁定", "Account locked for a violation"),
    "1200": (400, "API 调用失败", "API Call Failed"),
    "1210": (400, "API 调用参数有误：{}", "Incorrect API call parameters: {}"),
    "1211": (400, "模型不存在，请检查模型代码{}。", "Unknown Model {}, check the model code."),
    "1212": (400, "当前模型不支持{}调用方式", "Current model does not support {} calls"),
    "1213": (400, "未正常接收到{}参数。", "{} parameter not received."),
    "1214": (400, "{} 参数非法。请检查文档。", "The {} parameter is illegal."),
    "1215": (400, "{}不能同时设置。", "{} cannot be set at the same time."),
    "1220": (403, "您无权访问{}。", "You do not have permission for {}."),
    "1221": (400, "API {} 已下线", "API {} has been taken offline"),
    "1222": (404, "API {} 不存在", "API {} does not exist"),
    "1230": (500, "API 调用流程出错", "API call process error"),
    "1231": (400, "您已有请求：{}，请等待返回", "A request {} is under way already"),
    "1234": (500, "网络错误，错误id：{}", "Network error, error id: {}"),
    "1261": (400, "Prompt 超长", "Prompt exceeds max length"),
    "1300": (400, "API 调用被策略阻止", "API call blocked by policy"),
    "1301": (
        400,
        "系统检测到输入或生成内容可能包含不安全或敏感内容，请您避免输入易产生敏感内容的提示语，感谢您的配合。",
        "Unsafe or sensitive content",
    ),
    "1302": (429, "您的账户已达到速率限制，请控制请求频率", "Rate limit reached for requests"),
    "1303": (429, "您当前使用该API的频率过高，请降低频率", "High frequency usage of this API"),
    "1304": (429, "该API已达当日调用次数限额", "Daily call limit for this API reached"),
    "1305": (429, "该模型当前访问量过大，请您稍后再试", "The model is overloaded, try later"),
    "1308": (429, "已达到 5 小时的使用上限。您的限额将在 {} 重置。", "5 hour usage limit reached, resets at {}."),
    "1309": (429, "您的套餐已到期", "Your Coding Plan has expired"),
    "1310": (429, "已达到每周/每月使用上限，您的限额将在 {} 重置。", "Weekly/Monthly Limit Exhausted, resets at {}."),
    "1311": (429, "当前订阅套餐暂未开放{}权限", "The plan does not yet include {}"),
    "1312": (429, "该模型访问量过大，请尝试{}", "The model is busy, try {}"),
    "1313": (429, "触发公平使用策略限速", "Fair Usage Policy throttle"),
    "1316": (429, "5 小时用量已尽，额外余额不足", "5-hour quota spent, no extra balance"),
    "1317": (429, "7 天用量已尽，额外余额不足", "7-day quota spent, no extra balance"),
    "1318": (429, "5 小时用量已尽，达到月度消费上限", "5-hour quota spent, monthly limit reached"),
    "1319": (429, "7 天用量已尽，达到月度消费上限", "7-day quota spent, monthly limit reached"),
    "1320": (429, "5 小时用量已尽，额外用量未开启", "5-hour quota spent, extra usage is off"),
    "1321": (429, "7 天用量已尽，额外用量未开启", "7-day quota spent, extra usage is off"),
}


# Codes whose message has the time when a quota is reset, in Beijing's time zone: by default in one hour.
RESETS = ("1308", "1310")
BEIJING = timezone(timedelta(hours=8))


class Refusal(Exception):
    """A refusal of the platform. `details` are in Chinese and English; `role` is the author of filtered content."""

    def __init__(
        self,
        code: str,
        zh: str = "",
        en: str | None = None,
        *,
        status: int | None = None,
        role: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(code)
        self.code = code
        if code in RESETS and not zh:
            zh = (datetime.now(BEIJING) + timedelta(hours=1)).strftime("%Y-%m-%d %H:%M:%S")
        self.details = (zh, zh if en is None else en)
        self.status = CODES[code][0] if status is None else status
        self.role = role
        self.headers = dict(headers or {})

    def message(self, *, english: bool) -> str:
        _, zh, en = CODES[self.code]
        return (en if english else zh).format(self.details[1 if english else 0])

    def envelope(self, *, english: bool, request_id: str | None = None) -> dict[str, Any]:
        """The body on the platform's own API. The code is a string; `contentFilter` is next to `error`."""
        body: dict[str, Any] = {"error": {"code": self.code, "message": self.message(english=english)}}
        if self.role is not None:
            body = {"contentFilter": [{"level": 1, "role": self.role}]} | body
        if request_id is not None:
            body["request_id"] = request_id
        return body

    @property
    def openai_status(self) -> int:
        """The HTTP status on `/v1`, as OpenAI-compatible servers send it: 404 for an unknown model."""
        return 404 if self.code == "1211" else self.status

    def openai_envelope(self) -> dict[str, Any]:
        """The body on `/v1`, as OpenAI-compatible servers send it."""
        kinds = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
        status = self.openai_status
        kind = kinds.get(status, "server_error" if status >= 500 else "invalid_request_error")
        message = self.message(english=True)
        return {"error": {"message": message, "type": kind, "param": None, "code": self.code}}


class ThinkingCannotBeOff(Refusal):
    """The refusal (1210) of `thinking: disabled` by a model that always thinks. Its words are from reports of users."""

    def __init__(self) -> None:
        super().__init__("1210")

    def message(self, *, english: bool) -> str:
        if english:
            return "This model always thinks, thinking cannot be disabled; use low, high or max."
        return "该模型始终思考，不支持关闭思考；请使用 low、high 或 max。"


class NotImplementedHere(Refusal):
    """The refusal of an endpoint that the emulator lacks: 404 with code 1222. Clients would retry a status 5xx."""

    def __init__(self, what: str) -> None:
        super().__init__("1222", what)

    def message(self, *, english: bool) -> str:
        if english:
            return f"The emulator does not implement {self.details[1]}; docs/fidelity.md lists what it implements."
        return f"API {self.details[0]} 不存在：模拟器没有实现它，docs/fidelity.md 列出了已实现的接口。"
